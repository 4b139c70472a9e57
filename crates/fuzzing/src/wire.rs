//! The types of the HTTP API: what any bytes decode to is encoded, and decoded to the same.

use std::fmt::Debug;

use muster_model::event::{pack, unpack};
use muster_model::wire::{
    Check, Event, GroupView, Hosts, NotReady, OutputEvent, Plan, Readiness, Retry, RunEntry, RunEvent,
    RunPage, RunView, Secrets, ServerInfo, Submit, Targets, TaskListing, TaskPage, TaskReport, TaskView,
    Work, WorkOptions,
};
use muster_model::{Endpoint, Problem, host::HostRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks one input against every type: the input decides which take it.
pub fn check(input: &[u8]) {
    let checks: &[fn(&[u8]) -> bool] = &[
        same::<Check>,
        same::<Endpoint>,
        same::<Event>,
        same::<GroupView>,
        same::<HostRecord>,
        same::<Hosts>,
        same::<NotReady>,
        same::<OutputEvent>,
        same::<Plan>,
        same::<Problem>,
        same::<Readiness>,
        same::<Retry>,
        same::<RunEntry>,
        same::<RunEvent>,
        same::<RunPage>,
        same::<RunView>,
        same::<Secrets>,
        same::<ServerInfo>,
        same::<Submit>,
        same::<Targets>,
        same::<TaskListing>,
        same::<TaskPage>,
        same::<TaskReport>,
        same::<TaskView>,
        same::<Work>,
        same::<WorkOptions>,
    ];
    for check in checks {
        check(input);
    }
    notices(input);
}

/// What a message of the queue unpacks to is packed, and unpacked to the same, each task's in their order.
fn notices(input: &[u8]) {
    let mut read = Vec::new();
    if unpack(input, &mut read).is_err() {
        assert!(read.is_empty(), "a part of a message that could not be read");
        return;
    }
    let packed = pack(&mut read).unwrap_or_default();
    let mut again = Vec::new();
    for message in &packed {
        let unpacked = unpack(&message.body, &mut again).map_err(|error| error.to_string());
        assert_eq!(unpacked, Ok(()), "{}", String::from_utf8_lossy(&message.body));
    }
    assert_eq!(again, read);
}

/// Tells whether the input is a `T`; panics where it is not the same after a journey.
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(input) else {
        return false;
    };
    let written = serde_json::to_vec(&value).unwrap_or_default();
    let again = serde_json::from_slice::<T>(&written).map_err(|error| error.to_string());
    assert_eq!(
        again.as_ref(),
        Ok(&value),
        "{}",
        String::from_utf8_lossy(&written)
    );
    // What it is written as does not change any more.
    assert_eq!(
        again.and_then(|again| serde_json::to_vec(&again).map_err(|error| error.to_string())),
        Ok(written)
    );
    true
}
