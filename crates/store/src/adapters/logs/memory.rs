//! Logs of a database in memory: in memory too.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use muster_model::{ErrorKind, TaskId};

use super::{LogKey, Place, frames};
use crate::error::Error;

#[derive(Default)]
pub(crate) struct Logs(Mutex<HashMap<LogKey, BytesMut>>);

impl Logs {
    fn logs(&self) -> MutexGuard<'_, HashMap<LogKey, BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place for Logs {
    fn append(&self, key: LogKey, at: u64, frames: &[u8]) -> Result<u64, Error> {
        let mut logs = self.logs();
        let log = logs.entry(key).or_default();
        if log.len() as u64 != at {
            return Err(key.not_the_end(at, log.len() as u64));
        }
        log.extend_from_slice(frames);
        Ok(log.len() as u64)
    }

    fn read(&self, key: LogKey, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        let logs = self.logs();
        let Some(log) = logs.get(&key) else {
            return Ok(None);
        };
        let rest = usize::try_from(from).ok().and_then(|from| log.get(from..));
        let Some(rest) = rest else {
            return Ok(Some(Bytes::new()));
        };
        match frames::within(rest, most) {
            Some(length) => Ok(Some(Bytes::copy_from_slice(&rest[..length]))),
            None => Err(Error::new(
                ErrorKind::Corrupt,
                format!("read {key} at byte {from}"),
            )),
        }
    }

    fn discard(&self, key: LogKey) -> Result<(), Error> {
        self.logs().remove(&key);
        Ok(())
    }

    fn share(&self, _key: LogKey) -> Result<(), Error> {
        Ok(())
    }

    fn remove_unshared(&self) -> Result<u64, Error> {
        Ok(0)
    }

    fn discard_task(&self, task: TaskId) -> Result<(), Error> {
        self.logs().retain(|key, _| key.run.task != task);
        Ok(())
    }
}
