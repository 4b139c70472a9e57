//! Topic patterns as a trie of words, walked once per message whatever the number of bindings.
//!
//! A message costs its words times the patterns' branches that are still possible, which for patterns such
//! as `task.123.#` is one or two. Branches are merged at each word, so that no pattern, however many `#` it
//! has, makes a match exponential.

use std::collections::HashMap;

/// Patterns, each with the targets that are bound by it.
#[derive(Debug)]
pub(super) struct Topics<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    words: HashMap<Box<str>, Node<T>>,
    /// After `*`.
    one: Option<Box<Node<T>>>,
    /// After `#`; such a node takes any further words itself.
    any: Option<Box<Node<T>>>,
    /// Reached by `#`.
    loops: bool,
    targets: Vec<T>,
}

/// Splits a key or a pattern into words; the empty one has none.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').take(if key.is_empty() { 0 } else { usize::MAX })
}

impl<T> Node<T> {
    fn new(loops: bool) -> Self {
        Self {
            words: HashMap::new(),
            one: None,
            any: None,
            loops,
            targets: Vec::new(),
        }
    }

    fn is_bare(&self) -> bool {
        self.words.is_empty() && self.one.is_none() && self.any.is_none() && self.targets.is_empty()
    }
}

impl<T: PartialEq> Topics<T> {
    pub(super) fn new() -> Self {
        Self {
            root: Node::new(false),
        }
    }

    /// Binds a target by a pattern; tells whether it was not bound by it before.
    pub(super) fn insert(&mut self, pattern: &str, target: T) -> bool {
        let mut node = &mut self.root;
        for word in words(pattern) {
            node = match word {
                "*" => node.one.get_or_insert_with(|| Box::new(Node::new(false))),
                "#" => node.any.get_or_insert_with(|| Box::new(Node::new(true))),
                word => {
                    if !node.words.contains_key(word) {
                        node.words.insert(word.into(), Node::new(false));
                    }
                    match node.words.get_mut(word) {
                        Some(next) => next,
                        None => return false,
                    }
                }
            };
        }
        let is_new = !node.targets.contains(&target);
        if is_new {
            node.targets.push(target);
        }
        is_new
    }

    /// Takes a target's binding by a pattern away, and the branches that are bare then.
    pub(super) fn remove(&mut self, pattern: &str, target: &T) {
        let pattern: Vec<&str> = words(pattern).collect();
        remove(&mut self.root, &pattern, target);
    }

    /// Calls `found` for the targets of every pattern that matches; a target comes once for each.
    pub(super) fn matching<'a>(&'a self, key: &str, mut found: impl FnMut(&'a T)) {
        let mut now: Vec<&Node<T>> = Vec::new();
        let mut next: Vec<&Node<T>> = Vec::new();
        reach(&self.root, &mut now);
        for word in words(key) {
            for node in now.drain(..) {
                if node.loops {
                    next.push(node);
                }
                if let Some(node) = node.words.get(word) {
                    reach(node, &mut next);
                }
                if let Some(node) = &node.one {
                    reach(node, &mut next);
                }
            }
            if next.len() > 1 {
                next.sort_unstable_by_key(|node| std::ptr::from_ref::<Node<T>>(node));
                next.dedup_by(|left, right| std::ptr::eq(*left, *right));
            }
            std::mem::swap(&mut now, &mut next);
            if now.is_empty() {
                return;
            }
        }
        now.sort_unstable_by_key(|node| std::ptr::from_ref::<Node<T>>(node));
        now.dedup_by(|left, right| std::ptr::eq(*left, *right));
        for target in now.into_iter().flat_map(|node| &node.targets) {
            found(target);
        }
    }
}

/// Adds a node, and what `#` for no words reaches from it.
fn reach<'a, T>(node: &'a Node<T>, into: &mut Vec<&'a Node<T>>) {
    into.push(node);
    let mut node = node;
    while let Some(any) = &node.any {
        into.push(any);
        node = any;
    }
}

fn remove<T: PartialEq>(node: &mut Node<T>, pattern: &[&str], target: &T) {
    let Some((word, rest)) = pattern.split_first() else {
        node.targets.retain(|bound| bound != target);
        return;
    };
    match *word {
        "*" => {
            if let Some(next) = &mut node.one {
                remove(next, rest, target);
                if next.is_bare() {
                    node.one = None;
                }
            }
        }
        "#" => {
            if let Some(next) = &mut node.any {
                remove(next, rest, target);
                if next.is_bare() {
                    node.any = None;
                }
            }
        }
        word => {
            if let Some(next) = node.words.get_mut(word) {
                remove(next, rest, target);
                if next.is_bare() {
                    node.words.remove(word);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(topics: &Topics<usize>, key: &str) -> Vec<usize> {
        let mut found = Vec::new();
        topics.matching(key, |target| found.push(*target));
        found.sort_unstable();
        found
    }

    /// The definition, word by word.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => naive(rest, key) || (!key.is_empty() && naive(pattern, &key[1..])),
            (Some((&"*", rest)), Some((_, key))) => naive(rest, key),
            (Some((word, rest)), Some((first, key))) => word == first && naive(rest, key),
            _ => false,
        }
    }

    fn text(letters: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(letters), 0..6).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_definition(
            patterns in prop::collection::vec(text(&["a", "b", "*", "#"]), 0..12),
            removed in prop::collection::vec(any::<bool>(), 12),
            keys in prop::collection::vec(text(&["a", "b", "c"]), 1..8),
        ) {
            let mut topics = Topics::new();
            for (target, pattern) in patterns.iter().enumerate() {
                prop_assert!(topics.insert(pattern, target));
                prop_assert!(!topics.insert(pattern, target));
            }
            for (target, pattern) in patterns.iter().enumerate().filter(|(target, _)| removed[*target]) {
                topics.remove(pattern, &target);
            }
            for key in &keys {
                let split: Vec<&str> = words(key).collect();
                let expected: Vec<usize> = patterns
                    .iter()
                    .enumerate()
                    .filter(|(target, _)| !removed[*target])
                    .filter(|(_, pattern)| naive(&words(pattern).collect::<Vec<_>>(), &split))
                    .map(|(target, _)| target)
                    .collect();
                prop_assert_eq!(matches(&topics, key), expected, "key {}", key);
            }
        }

        #[test]
        fn a_trie_that_lost_its_bindings_is_bare(
            patterns in prop::collection::vec(text(&["a", "b", "*", "#"]), 0..12),
        ) {
            let mut topics = Topics::new();
            for (target, pattern) in patterns.iter().enumerate() {
                topics.insert(pattern, target);
            }
            for (target, pattern) in patterns.iter().enumerate() {
                topics.remove(pattern, &target);
            }
            prop_assert!(topics.root.is_bare());
        }
    }

    #[test]
    fn many_hashes_cost_no_exponential_time() {
        let mut topics = Topics::new();
        topics.insert(&["#"; 60].join(".a."), 0);
        let key = ["a"; 125].join(".") + ".b.b";
        assert_eq!(matches(&topics, &key), vec![0]);
        assert!(matches(&topics, &["b"; 125].join(".")).is_empty());
    }

    #[test]
    fn every_match_of_a_target_is_told() {
        let mut topics = Topics::new();
        topics.insert("a.#", 7);
        topics.insert("*.b", 7);
        assert_eq!(matches(&topics, "a.b"), vec![7, 7]);
    }
}
