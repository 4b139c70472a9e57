//! Answers of other systems, written after what their tools print, and bytes of any kind.

use proptest::prelude::*;

use super::*;

fn read(lines: &str) -> Facts {
    parse(format!("muster-facts 1\n{lines}\nend\n").as_bytes()).expect("facts")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn addresses(facts: &Facts) -> Vec<String> {
    facts.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn alpine_in_a_virtual_machine() {
    let facts = read(
        "kernel=Linux\nkernel_release=6.6.16-0-virt\narch=x86_64\nhostname=edge-1\n\
         os-release.ID=alpine\nos-release.VERSION_ID=3.19.1\nos-release.PRETTY_NAME=\"Alpine Linux v3.19\"\n\
         cpus=2\nmem_kib=498112\nswap_kib=1048572\nuptime=90061.77 179000.01\n\
         disk=4096 2529785 2101010 /dev/vda3 /\ndisk=1024 91174 66130 /dev/vda1 /boot\n\
         address=127.0.0.1/8\naddress=10.0.2.15/24\naddress=::1/128\naddress=fe80::5054:ff:fe12:3456/64\n\
         virt=kvm\npkg=apk\ninit=openrc",
    );
    assert_eq!(facts.os.id, some("alpine"));
    assert_eq!(facts.os.version, some("3.19.1"));
    assert_eq!(facts.os.name, some("Alpine Linux v3.19"));
    assert_eq!(facts.mem_bytes, Some(498_112 * 1024));
    assert_eq!(facts.swap_bytes, Some(1_048_572 * 1024));
    assert_eq!(facts.uptime_s, Some(90_061));
    assert_eq!(facts.disks.len(), 2);
    assert_eq!(facts.disks[0].size_bytes, 4096 * 2_529_785);
    assert_eq!(addresses(&facts), ["10.0.2.15", "fe80::5054:ff:fe12:3456"]);
    assert_eq!(
        (facts.virt, facts.pkg, facts.init),
        (some("kvm"), some("apk"), some("openrc"))
    );
}

#[test]
fn rhel_9_with_a_mount_that_has_a_space() {
    let facts = read(
        "kernel=Linux\nos-release.ID=\"rhel\"\nos-release.ID_LIKE=\"fedora\"\nos-release.VERSION_ID=\"9.3\"\n\
         os-release.PRETTY_NAME=\"Red Hat Enterprise Linux 9.3 (Plow)\"\ncpus=64\n\
         disk=4096 18345472 9000000 /dev/mapper/rhel-root /\n\
         disk=4096 262144 180000 /dev/sda2 /srv/with\\040space\nvirt=vmware\npkg=dnf\ninit=systemd",
    );
    assert_eq!(facts.os.id, some("rhel"));
    assert_eq!(facts.os.like, ["fedora"]);
    assert_eq!(facts.os.version, some("9.3"));
    assert_eq!(facts.disks[1].mount, "/srv/with space");
}

#[test]
fn freebsd_14_with_zfs() {
    let facts = read(
        "kernel=FreeBSD\nkernel_release=14.0-RELEASE-p4\narch=amd64\nhostname=bsd.example.org\n\
         os-release.ID=freebsd\nos-release.VERSION_ID=\"14.0\"\nos-release.PRETTY_NAME=\"FreeBSD 14.0-RELEASE-p4\"\n\
         cpus=4\nmem_bytes=8541577216\nswap_bytes=2147483648\n\
         boottime={ sec = 1705000000, usec = 123456 } Thu Jan 11 19:06:40 2024\nnow=1705086400\n\
         df=Filesystem         1024-blocks    Used   Avail Capacity  Mounted on\n\
         df=zroot/ROOT/default    50331648 2097152 48234496     4%    /\n\
         df=devfs                        1       0        1     0%    /dev\n\
         df=zroot/home            48234592      96 48234496     0%    /home\n\
         df=/dev/da0p1             1000000  990000   -70000   108%    /full\n\
         address=192.168.1.10\naddress=fe80::1%lo0\naddress=::1\naddress=127.0.0.1\n\
         virt=none\npkg=pkg\ninit=rc",
    );
    assert_eq!(facts.os.id, some("freebsd"));
    assert_eq!(facts.mem_bytes, Some(8_541_577_216));
    assert_eq!(facts.uptime_s, Some(86_400));
    let mounts: Vec<&str> = facts.disks.iter().map(|disk| disk.mount.as_str()).collect();
    assert_eq!(mounts, ["/", "/home", "/full"]);
    assert_eq!(facts.disks[0].device, "zroot/ROOT/default");
    assert_eq!(facts.disks[0].free_bytes, 48_234_496 * 1024);
    assert_eq!(facts.disks[2].free_bytes, 0, "less than nothing is nothing");
    assert_eq!(addresses(&facts), ["192.168.1.10", "fe80::1"]);
}

#[test]
fn macos_14() {
    let facts = read(
        "kernel=Darwin\nkernel_release=23.2.0\narch=arm64\nhostname=mac.local\nmacos=14.2.1\ncpus=8\n\
         mem_bytes=17179869184\nswapusage=total = 2048.00M  used = 912.25M  free = 1135.75M  (encrypted)\n\
         boottime={ sec = 1703000000, usec = 0 } Tue Dec 19 16:33:20 2023\nnow=1703003600\n\
         df=Filesystem     1024-blocks      Used Available Capacity  Mounted on\n\
         df=/dev/disk3s1s1   482797652  10000000 200000000     5%    /\n\
         df=devfs                  200       200         0   100%    /dev\n\
         df=/dev/disk3s5     482797652 262000000 200000000    57%    /System/Volumes/Data\n\
         df=map auto_home            0         0         0   100%    /System/Volumes/Data/home\n\
         df=/dev/disk4s1       1000000    500000    500000    50%    /Volumes/A name\n\
         address=127.0.0.1\naddress=fe80::1%lo0\naddress=10.1.2.3\nvirt=none\npkg=brew\ninit=launchd",
    );
    assert_eq!(facts.os.id, some("macos"));
    assert_eq!(facts.os.name, some("macOS 14.2.1"));
    assert_eq!(facts.swap_bytes, Some(2 << 30));
    assert_eq!(facts.uptime_s, Some(3600));
    let mounts: Vec<&str> = facts.disks.iter().map(|disk| disk.mount.as_str()).collect();
    assert_eq!(mounts, ["/", "/System/Volumes/Data", "/Volumes/A name"]);
}

#[test]
fn ubuntu_in_docker_without_ip_and_ifconfig() {
    let facts = read(
        "kernel=Linux\nkernel_release=6.5.0-14-generic\narch=x86_64\nhostname=3f1c2b\n\
         os-release.PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nos-release.VERSION_ID=\"22.04\"\nos-release.ID=ubuntu\n\
         os-release.ID_LIKE=debian\ncpus=16\nmem_kib=32768000\nswap_kib=0\nuptime=100.20 900.00\n\
         disk=4096 61255492 30000000 overlay /\naddress=127.0.0.1\naddress=172.17.0.2\naddress=172.17.0.2\n\
         address=00000000000000000000000000000001\naddress=fe800000000000000042acfffe110002\nvirt=docker\npkg=apt",
    );
    assert_eq!(addresses(&facts), ["172.17.0.2", "fe80::42:acff:fe11:2"]);
    assert_eq!(facts.disks[0].device, "overlay");
    assert_eq!((facts.virt, facts.init), (some("docker"), None));
}

#[test]
fn debian_in_wsl() {
    let facts = read(
        "kernel=Linux\nkernel_release=5.15.133.1-microsoft-standard-WSL2\nos-release.ID=debian\n\
         os-release.VERSION_ID=\"12\"\ndisk=4096 263940717 250000000 /dev/sdc /\naddress=10.255.255.254/32\nvirt=wsl\n\
         pkg=apt\ninit=systemd",
    );
    assert_eq!(facts.virt, some("wsl"));
    assert_eq!(facts.disks.len(), 1);
}

#[test]
fn systems_without_os_release_are_known_by_what_they_have() {
    let os = |lines: &str| {
        let os = read(lines).os;
        (os.id.unwrap_or_default(), os.version.unwrap_or_default())
    };
    let pair = |id: &str, version: &str| (id.to_owned(), version.to_owned());
    assert_eq!(
        os("kernel=Linux\nrelease=CentOS release 6.10 (Final)"),
        pair("centos", "6.10")
    );
    assert_eq!(
        os("release=Red Hat Enterprise Linux Server release 6.9 (Santiago)"),
        pair("rhel", "6.9")
    );
    assert_eq!(os("kernel=OpenBSD\nkernel_release=7.4"), pair("openbsd", "7.4"));
    assert_eq!(
        os("kernel=FreeBSD\nkernel_release=12.4-RELEASE-p9"),
        pair("freebsd", "12.4")
    );
    assert_eq!(os("kernel=Linux\nkernel_release=6.1"), pair("", ""));
}

#[test]
fn quoting_of_os_release_is_undone() {
    for (written, plain) in [
        ("debian", "debian"),
        ("\"a \\\"b\\\" \\$c\"", "a \"b\" $c"),
        ("'as $it is'", "as $it is"),
        ("\"", "\""),
        ("'", "'"),
        ("\"\"", ""),
    ] {
        assert_eq!(unquoted(written), plain, "{written}");
    }
}

#[test]
fn a_garbled_line_leaves_its_fact_empty() {
    let facts = read(
        "cpus=-1\nmem_kib=many\nswap_kib=99999999999999999999\nuptime=\ndisk=4096 1 1 /dev/sda\ndisk=4096 x y z /\n\
         disk=4096 18446744073709551615 1 /dev/sda /\ndisk=1 1 1 /dev/sda relative\ndf=nonsense\naddress=300.1.1.1\n\
         no separator\n=\nunknown=1\nboottime=9\nnow=3",
    );
    assert_eq!(facts, Facts::default());
}

#[test]
fn texts_are_clipped_and_made_harmless() {
    let long = "é".repeat(500);
    let facts = read(&format!(
        "hostname=a\u{1b}[31mb\u{202e}c\u{7}\td\nkernel={long}\ndisk=1 1 1 /dev/x /a\\012b\ndisk=1 1 1 /d\\033x /"
    ));
    assert_eq!(facts.hostname, some("a[31mbc d"));
    assert_eq!(facts.kernel.map(|kernel| kernel.len()), Some(TEXT_BYTES));
    assert_eq!(
        facts.disks.len(),
        1,
        "a mount that cannot be named as it is, is left out"
    );
    assert_eq!(facts.disks[0].device, "/dx");
}

#[test]
fn counts_are_bounded() {
    let mut lines = String::new();
    for number in 0..300 {
        lines += &format!(
            "disk=1 1 1 /dev/x{number} /{number}\naddress=10.0.{}.{}\n",
            number / 250,
            number % 250
        );
    }
    let facts = read(&lines);
    assert_eq!((facts.disks.len(), facts.addresses.len()), (DISKS, ADDRESSES));
}

#[test]
fn a_later_mount_hides_an_earlier_one() {
    let facts = read("disk=1 9 9 rootfs /\ndisk=1 7 7 /dev/sda /");
    assert_eq!(facts.disks.len(), 1);
    assert_eq!(facts.disks[0].device, "/dev/sda");
}

#[test]
fn what_login_files_print_is_passed_over() {
    let facts = parse(b"Welcome!\r\nend\r\nmuster-facts 1\r\nkernel=Linux\r\nend\r\nbye").expect("facts");
    assert_eq!(facts.kernel, some("Linux"));
}

#[test]
fn an_answer_that_is_none_says_what_to_do() {
    let error = |answer: &[u8]| parse(answer).expect_err("no facts").to_string();
    assert_eq!(parse(b"muster-facts 1\nkernel=Linux\n"), Err(Error::CutOff));
    assert!(error(b"muster-facts 1").contains("gather them again"));
    let foreign = error(b"sh: \x1b[1mnot found\n");
    assert!(
        foreign.contains("'sh: [1mnot found'") && foreign.contains("a POSIX shell"),
        "{foreign}"
    );
    assert!(error(b"").contains("with ''"));
    let long = error(&vec![b'x'; ANSWER_BYTES + 1]);
    assert!(long.contains("65537 bytes") && long.contains("65536"), "{long}");
}

fn is_bounded(facts: &Facts) -> bool {
    let mut texts = vec![
        &facts.os.id,
        &facts.os.version,
        &facts.os.name,
        &facts.kernel,
        &facts.kernel_release,
        &facts.arch,
        &facts.hostname,
        &facts.virt,
        &facts.pkg,
        &facts.init,
    ]
    .into_iter()
    .flatten()
    .chain(&facts.os.like)
    .chain(facts.disks.iter().flat_map(|disk| [&disk.device, &disk.mount]));
    texts.all(|text| text.len() <= TEXT_BYTES && !text.contains(is_treacherous))
        && facts.disks.len() <= DISKS
        && facts.addresses.len() <= ADDRESSES
        && facts.os.like.len() <= LIKE
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse(&bytes);
        let mut answer = b"muster-facts 1\n".to_vec();
        answer.extend(&bytes);
        answer.extend(b"\nend\n");
        prop_assert!(is_bounded(&parse(&answer).expect("facts")));
    }

    #[test]
    fn any_value_of_any_key_is_read_without_harm(
        lines in proptest::collection::vec(("(kernel|os-release\\.(ID|ID_LIKE|PRETTY_NAME)|release|macos|cpus|mem_kib|swapusage|uptime|boottime|now|disk|df|address)", "[ -~\\PC]{0,60}|[0-9]{1,20} [0-9]{1,20} [0-9]{1,20} /dev/[a-z]{1,3} /[a-z\\\\0-7]{0,8}|.{0,40}"), 0..40)
    ) {
        let text: Vec<String> = lines.iter().map(|(key, value)| format!("{key}={value}")).collect();
        prop_assert!(is_bounded(&read(&text.join("\n"))));
    }
}
