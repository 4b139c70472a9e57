//! Laws that hold for every pattern.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Names with up to three numbers, close enough to each other that they fold.
fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        (1_u32..40, any::<bool>()).prop_map(|(number, zeros)| match zeros {
            true => format!("web{number:02}"),
            false => format!("web{number}"),
        }),
        (8_u32..12, 1_u32..6).prop_map(|(rack, node)| format!("r{rack}n{node}")),
        (1_u32..4, 1_u32..4, 1_u32..4).prop_map(|(a, b, c)| format!("a{a}-{b}.{c}%s")),
        (0_u32..300).prop_map(|last| format!("10.4.3.{last}")),
        "[a-c]{1,2}[0-9]{0,20}",
        "\\[::[1-4]\\]:22",
    ];
    proptest::collection::vec(name, 0..60)
}

/// Patterns without operators.
fn operand() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u32..12, 0_u32..12).prop_map(|(a, b)| format!("web[{}-{}]", a.min(b), a.max(b))),
        (0_u32..12, 0_u32..12, 1_u32..4).prop_map(|(a, b, s)| format!(
            "web[{:02}-{:02}/{s}]",
            a.min(b),
            a.max(b)
        )),
        (1_u32..4, 1_u32..4, 1_u32..4).prop_map(|(a, b, c)| format!(
            "r[1-{a},3]n[{}-{}]",
            b.min(c),
            b.max(c)
        )),
        Just("@db".to_owned()),
        Just("@*".to_owned()),
        Just("web?".to_owned()),
        Just("lonely".to_owned()),
    ]
}

/// Patterns with operators.
fn pattern() -> impl Strategy<Value = String> {
    let step = (prop_oneof![Just(','), Just('!'), Just('&'), Just('^')], operand());
    (operand(), proptest::collection::vec(step, 0..3)).prop_map(|(first, steps)| {
        steps.into_iter().fold(first, |pattern, (operator, operand)| {
            format!("{pattern}{operator}{operand}")
        })
    })
}

fn set(pattern: &str) -> BTreeSet<String> {
    let names = expanded(pattern).unwrap();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "{pattern} names a host twice");
    set
}

proptest! {
    #[test]
    fn expanding_a_fold_gives_the_same_hosts(names in names()) {
        let folded = fold(&names);
        let expected: BTreeSet<String> = names.iter().cloned().collect();
        prop_assert_eq!(set(&folded), expected);
    }

    #[test]
    fn folding_an_expansion_changes_nothing_not_even_the_order(pattern in pattern()) {
        let names = expanded(&pattern).unwrap();
        let folded = fold(&names);
        prop_assert_eq!(expanded(&folded).unwrap(), names.clone());
        // The fold does not depend on the order in which names come.
        let reversed: Vec<_> = names.iter().rev().collect();
        prop_assert_eq!(fold(&reversed), folded);
    }

    #[test]
    fn operators_obey_the_laws_of_sets(left in pattern(), right in operand()) {
        let (a, b) = (set(&left), set(&right));
        prop_assert_eq!(set(&format!("{left},{right}")), &a | &b);
        prop_assert_eq!(set(&format!("{left}!{right}")), &a - &b);
        prop_assert_eq!(set(&format!("{left}&{right}")), &a & &b);
        prop_assert_eq!(set(&format!("{left}^{right}")), &a ^ &b);
    }

    #[test]
    fn union_and_intersection_commute(left in operand(), right in operand()) {
        for operator in [",", "&", "^"] {
            let forwards = expanded(&format!("{left}{operator}{right}")).unwrap();
            let backwards = expanded(&format!("{right}{operator}{left}")).unwrap();
            prop_assert_eq!(forwards, backwards, "{}", operator);
        }
    }

    #[test]
    fn excluding_is_a_difference(includes in proptest::collection::vec(operand(), 0..4), excludes in proptest::collection::vec(operand(), 0..4)) {
        let sum = |texts: &[String]| texts.iter().fold(BTreeSet::new(), |sum, text| &sum | &set(text));
        let names = expand_all(&includes, &excludes, &Inventory::new()).unwrap();
        prop_assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), &sum(&includes) - &sum(&excludes));
    }

    #[test]
    fn sorting_agrees_with_expanding_where_names_have_one_number(numbers in proptest::collection::vec("(web|db)[0-9]{1,4}", 0..30)) {
        let mut names = numbers.clone();
        names.sort_unstable();
        names.dedup();
        sort(&mut names);
        prop_assert_eq!(expanded(&numbers.join(",")).unwrap(), names);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", dense in "[\\]\\[0-9a@,!&^*?:%/ \n-]{0,40}") {
        for text in [text, dense] {
            let _ = fold(&[&text]);
            if let Err(error) = expanded(&text) {
                prop_assert!(error.to_string().len() < 1000);
            }
        }
    }
}
