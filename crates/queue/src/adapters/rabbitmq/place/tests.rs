//! A place without a broker: its counting.

use super::*;

fn held(inner: &mut Inner, lot: u32, tags: std::ops::RangeInclusive<u64>, handed: bool) {
    for tag in tags {
        inner.held.insert(tag, Held { lot, handed });
        inner.handed += usize::from(handed);
        if !handed {
            inner.waiting.push_back(Delivery {
                tag,
                redelivered: false,
                message: crate::Message::new("k", "b"),
            });
        }
    }
}

fn lot(inner: &mut Inner, id: u32, limit: usize) {
    let tag = format!("muster-{id}").as_str().into();
    inner.lots.push(Lot { id, tag, limit });
}

fn single(tag: u64) -> Ack {
    Ack { tag, multiple: false }
}

#[test]
fn one_acknowledgement_covers_what_is_oldest_and_nothing_else() {
    let mut inner = Inner {
        prefetch: 10,
        ..Inner::default()
    };
    lot(&mut inner, 1, 10);
    held(&mut inner, 1, 1..=6, true);
    // 3 is not settled: 4 and 6 go alone.
    assert_eq!(
        inner.acknowledge(&[6, 2, 4, 1, 4, 99]),
        [
            Ack {
                tag: 2,
                multiple: true
            },
            single(4),
            single(6)
        ]
    );
    assert_eq!(inner.acknowledge(&[1, 2]), []);
    assert_eq!(inner.acknowledge(&[5]), [single(5)]);
    assert_eq!(inner.acknowledge(&[3]), [single(3)]);
    assert_eq!(inner.handed, 0);
}

#[test]
fn what_was_not_handed_over_is_never_covered_or_settled() {
    let mut inner = Inner {
        prefetch: 10,
        ..Inner::default()
    };
    lot(&mut inner, 1, 10);
    held(&mut inner, 1, 1..=1, false);
    held(&mut inner, 1, 2..=3, true);
    assert_eq!(inner.acknowledge(&[1, 2, 3]), [single(2), single(3)]);
    assert!(inner.held.contains_key(&1));
}

#[test]
fn with_several_lots_or_while_they_change_each_is_acknowledged_alone() {
    let mut inner = Inner {
        prefetch: 10,
        ..Inner::default()
    };
    lot(&mut inner, 1, 5);
    lot(&mut inner, 2, 5);
    held(&mut inner, 1, 1..=4, true);
    assert_eq!(inner.acknowledge(&[1, 2]), [single(1), single(2)]);
    inner.lots.pop();
    inner.changing = true;
    assert_eq!(inner.acknowledge(&[3, 4]), [single(3), single(4)]);
}

#[test]
fn a_raised_prefetch_adds_a_lot_and_a_lowered_one_waits_for_what_is_held() {
    let mut inner = Inner {
        prefetch: 1,
        ..Inner::default()
    };
    assert_eq!(inner.fits(false), Fit::RoomFor(1));
    lot(&mut inner, 1, 1);
    assert_eq!(inner.fits(false), Fit::Well);
    held(&mut inner, 1, 1..=1, true);
    inner.prefetch = 3;
    assert_eq!(inner.fits(false), Fit::RoomFor(2));
    lot(&mut inner, 2, 2);
    assert_eq!(inner.fits(false), Fit::Well);
    held(&mut inner, 2, 2..=3, true);
    inner.prefetch = 2;
    assert_eq!(inner.fits(false), Fit::TooMany);
    let Plan::Replace {
        cancel,
        give_back,
        limit,
        ..
    } = inner.replace(false)
    else {
        panic!("all are to go");
    };
    assert_eq!((cancel.len(), give_back.len(), limit), (2, 0, 0));
    assert_eq!(inner.fits(false), Fit::Well, "three are held, two may be");
    assert!(inner.remove(1));
    assert_eq!(inner.fits(false), Fit::Well);
    assert!(inner.remove(2));
    assert_eq!(inner.fits(false), Fit::RoomFor(1));
    lot(&mut inner, 3, 1);
    assert_eq!(inner.fits(false), Fit::Well);
    assert!(inner.remove(3));
    assert_eq!(inner.fits(false), Fit::RoomFor(1));
}

#[test]
fn a_pause_gives_back_what_waits_and_keeps_a_foot_in_a_queue_that_would_go() {
    for auto_delete in [false, true] {
        let mut inner = Inner {
            prefetch: 0,
            ..Inner::default()
        };
        lot(&mut inner, 1, 5);
        held(&mut inner, 1, 1..=1, true);
        held(&mut inner, 1, 2..=3, false);
        let plan = inner.replace(auto_delete);
        let expected = Plan::Replace {
            cancel: vec!["muster-1".into()],
            give_back: vec![2, 3],
            limit: u16::from(auto_delete),
            never_without: auto_delete,
        };
        assert_eq!(plan, expected);
        assert_eq!(inner.held.len(), 1);
        let after = if auto_delete { Fit::RoomFor(1) } else { Fit::Well };
        assert_eq!(inner.fits(auto_delete), after);
    }
}

#[test]
fn tags_go_on_where_an_older_channel_ended() {
    let mut inner = Inner {
        prefetch: 10,
        ..Inner::default()
    };
    lot(&mut inner, 1, 10);
    held(&mut inner, 1, 1..=7, true);
    inner.last = 7;
    inner.forget();
    assert_eq!(
        inner.acknowledge(&[3]),
        [],
        "a tag of the older channel is nobody's"
    );
    lot(&mut inner, 2, 10);
    held(&mut inner, 2, 8..=9, true);
    assert_eq!(
        inner.acknowledge(&[8, 9]),
        [Ack {
            tag: 2,
            multiple: true
        }]
    );
}
