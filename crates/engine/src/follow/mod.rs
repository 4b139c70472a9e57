//! Following tasks: the live record of each open task, and readers that pull from it at their own pace.

mod feed;
mod hub;
mod read;
mod watcher;

pub(crate) use feed::Feed;
pub(crate) use hub::LOOK_AGAIN;
pub(crate) use hub::{Host, Hub, LiveTask};
pub use read::OutputReader;
pub(crate) use read::{decode, log_key, read_log};
pub use watcher::Watcher;
