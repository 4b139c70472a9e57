//! Following tasks: the live record of each open task, and readers that pull from it at their own pace.

mod event;
mod feed;
mod hub;
mod live;
mod place;
mod read;
mod watcher;

pub(crate) use feed::Feed;
pub(crate) use hub::{Hub, LOOK_AGAIN};
pub(crate) use live::{Host, LiveTask};
pub use read::OutputReader;
pub(crate) use read::{decode, log_key, read_log};
pub use watcher::Watcher;
