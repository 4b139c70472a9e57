//! The window on paused time: how it grows, shrinks and is left.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::time::advance;

use super::*;

impl Starts {
    /// As many places as its ceiling from the beginning, however many hosts hang up: what the window is measured by.
    pub(crate) fn always(places: usize) -> Arc<Self> {
        Self::with(Window {
            size: places,
            floor: places,
            ..Window::new(places)
        })
    }

    /// Takes as many turns as there are without waiting.
    fn all(self: &Arc<Self>) -> Vec<Turn> {
        std::iter::from_fn(|| self.at_once()).collect()
    }

    fn at_once(self: &Arc<Self>) -> Option<Turn> {
        // Else tokio has a task pause that has got very much at once.
        let turn = pin!(tokio::task::unconstrained(self.turn()));
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn size(&self) -> usize {
        self.state().window.size
    }

    /// One round of logins that all go well; returns how many they were.
    fn round(self: &Arc<Self>) -> usize {
        let turns = self.all();
        let count = turns.len();
        turns.into_iter().for_each(Turn::answered);
        count
    }

    /// Somebody waits for the window throughout, as when there are more hosts than places.
    fn full_round(self: &Arc<Self>) -> usize {
        let turns = self.all();
        let count = turns.len();
        for turn in turns {
            self.state().window.grow();
            drop(turn);
        }
        let mut state = self.state();
        self.fit(&mut state);
        count
    }
}

/// A window that hosts have made smaller `times` times.
fn shrunk(starts: &Arc<Starts>, times: usize) {
    for _ in 0..times {
        let mut turn = starts.at_once().expect("a place");
        turn.hung_up();
    }
}

#[tokio::test(start_paused = true)]
async fn it_begins_at_ten_and_never_above_its_ceiling() {
    for (ceiling, first) in [(64, 10), (10, 10), (3, 3), (1, 1), (0, 1)] {
        assert_eq!(Starts::new(ceiling).all().len(), first, "ceiling {ceiling}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_doubles_in_a_round_up_to_its_ceiling() {
    let starts = Starts::new(64);
    let rounds: Vec<usize> = (0..5).map(|_| starts.full_round()).collect();
    assert_eq!(rounds, [10, 20, 40, 64, 64]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_host_gets_the_place_of_one_that_answered_and_the_new_one() {
    let starts = Starts::new(64);
    let mut turns = starts.all();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(starts.turn())).collect();
    let mut context = Context::from_waker(Waker::noop());
    for turn in &mut waiting {
        assert!(turn.as_mut().poll(&mut context).is_pending());
    }
    turns.pop().expect("a turn").answered();
    let got: Vec<Poll<Turn>> = waiting
        .iter_mut()
        .map(|turn| turn.as_mut().poll(&mut context))
        .collect();
    let ready: Vec<bool> = got.iter().map(Poll::is_ready).collect();
    assert_eq!(ready, [true, true, false], "in the order of waiting");
    assert_eq!(starts.size(), 11);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_grow_where_it_is_not_full() {
    let starts = Starts::new(64);
    for _ in 0..50 {
        starts.at_once().expect("a place").answered();
    }
    assert_eq!(starts.size(), FIRST);
    // The first of a full window that ends makes it larger, and then it is not full any more.
    assert_eq!(starts.round(), 10);
    assert_eq!(starts.size(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_hosts_that_hang_up_shrinks_it_once() {
    let starts = Starts::new(64);
    for _ in 0..3 {
        starts.full_round();
    }
    assert_eq!(starts.size(), 64);
    let mut burst = starts.all();
    burst.iter_mut().take(40).for_each(Turn::hung_up);
    assert_eq!(starts.size(), 44);
    // Forty have left it, twenty-four are still in: it has room for twenty.
    let mut later = starts.all();
    assert_eq!(later.len(), 20);
    // One that began after that says something new.
    later[0].hung_up();
    assert_eq!(starts.size(), 30);
    burst[40].hung_up();
    assert_eq!(starts.size(), 30);
}

#[tokio::test(start_paused = true)]
async fn it_never_falls_below_its_floor() {
    let starts = Starts::new(64);
    for _ in 0..3 {
        starts.full_round();
    }
    shrunk(&starts, 8);
    assert_eq!(starts.size(), FLOOR);
    assert_eq!(starts.all().len(), FLOOR);
    let narrow = Starts::new(2);
    shrunk(&narrow, 6);
    assert_eq!(narrow.all().len(), 2, "nor above its ceiling");
}

#[tokio::test(start_paused = true)]
async fn after_that_it_grows_by_one_in_a_round() {
    let starts = Starts::new(64);
    starts.full_round();
    shrunk(&starts, 1);
    let rounds: Vec<usize> = (0..4).map(|_| starts.full_round()).collect();
    assert_eq!(rounds, [14, 15, 16, 17]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_up_again_gives_back_what_it_took() {
    let starts = Starts::new(64);
    starts.full_round();
    let (mut bad, mut worse) = (
        starts.at_once().expect("a place"),
        starts.at_once().expect("a place"),
    );
    bad.hung_up();
    worse.hung_up();
    assert_eq!(starts.size(), 14);
    for turn in [&mut worse, &mut bad] {
        turn.again().await;
        turn.hung_up();
    }
    assert_eq!(starts.size(), 20);
    for _ in 0..9 {
        bad.again().await;
        bad.hung_up();
    }
    assert_eq!(starts.size(), 20, "a host speaks once");
    assert_eq!(starts.full_round(), 20);
    assert_eq!(starts.size(), 40, "and it doubles as if nothing had been");
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_leaves_its_place_and_makes_room() {
    let starts = Starts::new(64);
    let mut silent = starts.all();
    assert!(starts.at_once().is_none());
    assert!(silent[0].step_aside());
    assert!(!silent[0].has_place());
    assert_eq!(starts.all().len(), 2, "its place, and one more as for an answer");
    // Heard after all, it changes nothing any more.
    silent.swap_remove(0).answered();
    assert_eq!(starts.size(), 11);
}

#[tokio::test(start_paused = true)]
async fn beside_the_window_there_is_no_room_without_end() {
    let starts = Starts::new(ASIDE + 1);
    let mut aside = Vec::new();
    while aside.len() < ASIDE {
        for mut turn in starts.all() {
            if turn.step_aside() {
                aside.push(turn);
            }
        }
    }
    let mut late = starts.at_once().expect("a place");
    assert!(!late.step_aside());
    assert!(late.has_place(), "it keeps its place");
    aside.pop();
    assert!(late.step_aside(), "until one of the others has had its time");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hung_up_waits_behind_those_who_wait() {
    let starts = Starts::new(1);
    let mut first = starts.turn().await;
    let mut second = Box::pin(starts.turn());
    let mut context = Context::from_waker(Waker::noop());
    assert!(second.as_mut().poll(&mut context).is_pending());
    first.hung_up();
    let mut again = Box::pin(first.again());
    assert!(again.as_mut().poll(&mut context).is_pending());
    let Poll::Ready(second) = second.as_mut().poll(&mut context) else {
        panic!("its place was not given back");
    };
    drop(second);
    assert!(again.as_mut().poll(&mut context).is_ready());
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_leaves_nothing() {
    let starts = Starts::new(64);
    let turns = starts.all();
    let mut context = Context::from_waker(Waker::noop());
    let mut gone = Box::pin(starts.turn());
    let mut stays = Box::pin(starts.turn());
    assert!(gone.as_mut().poll(&mut context).is_pending());
    assert!(stays.as_mut().poll(&mut context).is_pending());
    drop(gone);
    drop(turns);
    assert!(stays.as_mut().poll(&mut context).is_ready());
    drop(stays);
    assert_eq!(starts.all().len(), FIRST);
    let mut aside = starts.at_once().expect("a place");
    aside.step_aside();
    drop(aside);
    assert_eq!(starts.aside.available_permits(), ASIDE);
    assert_eq!(starts.state().turns, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_rest_it_is_as_at_first() {
    let starts = Starts::new(64);
    starts.full_round();
    shrunk(&starts, 1);
    advance(FORGET / 2).await;
    assert_eq!(starts.all().len(), 14);
    advance(FORGET).await;
    assert_eq!(starts.all().len(), FIRST);
    assert_eq!(starts.full_round(), 10);
    assert_eq!(starts.size(), 20);
    // Nobody rests while a login is under way.
    let under_way = starts.at_once().expect("a place");
    advance(10 * FORGET).await;
    assert_eq!(starts.all().len(), 19);
    drop(under_way);
}
