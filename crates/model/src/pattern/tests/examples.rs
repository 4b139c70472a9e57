//! Tables of patterns and what they stand for.

use super::*;

#[track_caller]
fn check(pattern: &str, hosts: &str, folded: &str) {
    let names = expanded(pattern).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(names.join(" "), hosts, "expanding '{pattern}'");
    assert_eq!(fold(&names), folded, "folding '{pattern}'");
}

#[test]
fn ranges_with_zeros_steps_and_lists_expand() {
    check("web[8-11]", "web8 web9 web10 web11", "web[8-11]");
    check("web[08-11,3]", "web3 web08 web09 web10 web11", "web[3,08-11]");
    check("web[01-02,1-2]", "web1 web2 web01 web02", "web[1-2,01-02]");
    check("n[0-100/25]", "n0 n25 n50 n75 n100", "n[0,25,50,75,100]");
    check("n[ 1 - 3 , 7 ]", "n1 n2 n3 n7", "n[1-3,7]");
    check("[1-3]", "1 2 3", "[1-3]");
    check("web3,web1,web2,web1", "web1 web2 web3", "web[1-3]");
    check("n01-03", "n01-03", "n01-03");
    check("a[08,10,99,100]", "a08 a10 a99 a100", "a[08,10,99,100]");
    check("a[9999-10001]", "a9999 a10000 a10001", "a[9999-10001]");
}

#[test]
fn several_ranges_in_a_name_multiply() {
    check("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2", "r[1-2]n[1-2]");
    check(
        "[1-2]foo[4-5]bar",
        "1foo4bar 1foo5bar 2foo4bar 2foo5bar",
        "[1-2]foo[4-5]bar",
    );
    // Larger boxes come first.
    check(
        "r[1-2]n[1-2],r3n[1-5]",
        "r3n1 r3n2 r3n3 r3n4 r3n5 r1n1 r1n2 r2n1 r2n2",
        "r3n[1-5],r[1-2]n[1-2]",
    );
}

#[test]
fn digits_beside_brackets_belong_to_the_number() {
    check("a1[3-4]", "a13 a14", "a[13-14]");
    check("a[3-4]5", "a35 a45", "a[35,45]");
    check("a0[1-2]", "a01 a02", "a[01-02]");
    check("a1[9-10]", "a19 a110", "a[19,110]");
    check("a00[9-10]", "a009 a0010", "a[009,0010]");
    check("a[1-5/2]3", "a13 a33 a53", "a[13,33,53]");
}

#[test]
fn operators_are_read_from_left_to_right() {
    check("a[1-5]!a[1-2]&a3,b", "a3 b", "a3,b");
    check("web[1-5],web3!web2", "web1 web3 web4 web5", "web[1,3-5]");
    check("a&b,c", "c", "c");
    check("a[1-2]&a[2-3]^a[1-5]", "a1 a3 a4 a5", "a[1,3-5]");
    check("a^b^a", "b", "b");
    check("a[1-3]!a[1-3]", "", "");
    check(
        "r[1-3]n[1-3]!r2n2",
        "r1n1 r1n2 r1n3 r3n1 r3n2 r3n3 r2n1 r2n3",
        "r[1,3]n[1-3],r2n[1,3]",
    );
}

#[test]
fn white_space_stands_between_hosts_alone() {
    check(" a , b\t! b ", "a", "a");
    check("a[1-2] , b", "a1 a2 b", "a[1-2],b");
    check("", "", "");
    check(" \n ", "", "");
    // Each line is a pattern of its own.
    check("a,b\nb!b\r\n\nc", "a b c", "a,b,c");
}

#[test]
fn groups_and_wildcards_name_hosts_of_the_inventory() {
    check("@db", "db1 db2 web3", "db[1-2],web3");
    check("@rack[1-2]", "r1n1 r1n2 r1n3 r2n1 r2n2", "r1n[1-3],r2n[1-2]");
    check("@web&@db", "web3", "web3");
    check("@db!web*", "db1 db2", "db[1-2]");
    check("web?", "web1 web2 web3", "web[1-3]");
    check(
        "*[1-2]!@web",
        "2001:db8::1 db1 db2 r1n1 r1n2 r2n1 r2n2",
        "2001:db8::1,db[1-2],r[1-2]n[1-2]",
    );
    check("nothing*", "", "");
    let all = expanded("@*").unwrap();
    assert_eq!(all.len(), 16);
    assert_eq!(expanded("*").unwrap(), all);
    assert_eq!(expand("web*,@*", &NoGroups), Ok(Vec::new()));
}

#[test]
fn addresses_are_names() {
    check("10.4.3.[4-6]", "10.4.3.4 10.4.3.5 10.4.3.6", "10.4.3.[4-6]");
    check(
        "192.168.3.55,10.4.3.4",
        "10.4.3.4 192.168.3.55",
        "10.4.3.4,192.168.3.55",
    );
    check("2001:db8::1", "2001:db8::1", "2001:db8::1");
    check(
        "2001:db8::[9-11]",
        "2001:db8::9 2001:db8::10 2001:db8::11",
        "2001:db8::[9-11]",
    );
    check(
        "fe80::1%eth[0-1]",
        "fe80::1%eth0 fe80::1%eth1",
        "fe80::1%eth[0-1]",
    );
    check("[2001:db8::1]:22,a", "[2001:db8::1]:22 a", "[2001:db8::1]:22,a");
    check(
        "root@[::2]:22,root@[::1]:22",
        "root@[::1]:22 root@[::2]:22",
        "root@[::1]:22,root@[::2]:22",
    );
}

#[test]
fn users_ports_and_schemes_are_part_of_the_name() {
    check(
        "root@web[1-2]:2222",
        "root@web1:2222 root@web2:2222",
        "root@web[1-2]:2222",
    );
    check("ssh://web[1-2]", "ssh://web1 ssh://web2", "ssh://web[1-2]");
    check("web:[22-23]", "web:22 web:23", "web:[22-23]");
    check("a%s[1-2]%", "a%s1% a%s2%", "a%s[1-2]%");
}

#[test]
fn what_is_excluded_is_taken_away_at_the_end() {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let names = expand_all(
        &texts(&["192.168.3.55", "10.4.3.4", "web[1-3]"]),
        &texts(&["web2", "@db"]),
        &Inventory::new(),
    );
    assert_eq!(names, Ok(texts(&["10.4.3.4", "192.168.3.55", "web1"])));
    let names = expand_all(&[], &texts(&["a"]), &NoGroups);
    assert_eq!(names, Ok(Vec::new()));
}

#[test]
fn numbers_too_long_to_count_machines_are_text() {
    let serials = ["a123456789012345678901", "a123456789012345678902"];
    assert_eq!(fold(&serials), serials.join(","));
    assert_eq!(expanded(&serials.join(",")).unwrap(), serials);
}

#[test]
fn hosts_are_sorted_as_people_count() {
    let mut names = ["web10", "web9", "db", "web09", "10.4.3.10", "10.4.3.9"];
    sort(&mut names);
    assert_eq!(names, ["10.4.3.9", "10.4.3.10", "db", "web9", "web09", "web10"]);
    assert_eq!(compare("web2", "web10"), std::cmp::Ordering::Less);
    assert_eq!(fold::<&str>(&[]), "");
}

#[test]
fn regular_names_by_the_million_fold_to_what_made_them() {
    for (pattern, count) in [
        ("web[00000-99999].example.com", 100_000),
        ("rack[1-1000]node[1-1000]", 1_000_000),
    ] {
        let names = expand(pattern, &NoGroups).unwrap();
        assert_eq!(names.len(), count);
        assert_eq!(fold(&names), pattern);
    }
}

#[test]
fn irregular_names_fold_in_bounded_time() {
    let mut dice = Dice(7);
    let clock = std::time::Instant::now();
    for (axes, spread) in [(1, 30_000), (2, 200), (2, 5_000), (3, 30), (6, 6)] {
        let mut names: Vec<String> = (0..10_000)
            .map(|_| {
                (0..axes)
                    .map(|axis| format!("{}{}", ["r", "n", "-"][axis % 3], dice.roll(spread)))
                    .collect()
            })
            .collect();
        let folded = fold(&names);
        let mut again = expand(&folded, &NoGroups).unwrap();
        names.sort_unstable();
        names.dedup();
        again.sort_unstable();
        assert!(again == names, "{axes} axes, numbers below {spread}");
    }
    // ClusterShell needs minutes for one of these; the bound leaves room for a slow machine.
    assert!(clock.elapsed().as_secs() < 60, "{:?}", clock.elapsed());
}
