//! RabbitMQ brokers: private, with virtual hosts for the asking, there again after an outage, and gone with the test.

use std::net::TcpStream;

use muster_testkit::{RabbitMq, proc, require};

#[test]
fn a_broker_keeps_its_virtual_hosts_over_stops_and_kills_and_leaves_nothing_behind() {
    let mut broker = require!(RabbitMq::start());
    let (one, two) = (
        broker.fresh_vhost().expect("one"),
        broker.fresh_vhost().expect("two"),
    );
    assert_ne!(one, two);
    let vhost = one.rsplit('/').next().expect("a name").to_owned();
    let user = broker.user(&one, "^a", "^b", "^c").expect("a user");
    let name = user.split([':', '/']).nth(3).expect("a name").to_owned();
    let password = one.split([':', '@']).nth(2).expect("a password");
    assert!(
        proc::with_arg(password).is_empty(),
        "it stands on no command line"
    );
    let there = |broker: &RabbitMq| {
        let rights = broker.ctl(&["list_permissions", "-p", &vhost]).expect("asked");
        assert!(rights.contains(&format!("{name}\t^a\t^b\t^c")), "{rights}");
    };
    there(&broker);
    let port = broker.port();
    let is_open = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(is_open());
    broker.stop().expect("stops");
    assert!(!is_open() && broker.ctl(&["status"]).is_err());
    broker.start_again().expect("starts again");
    there(&broker);
    broker.kill();
    assert!(!is_open());
    broker.start_again().expect("starts again");
    there(&broker);

    broker.memory_alarm(true).expect("an alarm");
    broker.memory_alarm(false).expect("no alarm");

    // The broker, its port mapper, and what they started: all have its folder as their home.
    let folder = broker.dir().to_owned();
    let home = folder.join("home").display().to_string();
    let mine = proc::with_env("HOME", &home);
    let names = |word: &str| {
        mine.iter()
            .any(|process| process.argv.iter().any(|argument| argument.contains(word)))
    };
    assert!(names("beam") && names("epmd"), "{mine:?}");
    drop(broker);
    let left: Vec<_> = mine
        .iter()
        .filter(|process| proc::is_alive(process.pid))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!folder.exists());
}
