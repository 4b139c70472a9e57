//! The world of both sides: the folder that a server gives files from, and the one that a client keeps them in.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::protocol::{PIECE, World};
use super::client::{Client, Got};
use super::name::{FileName, Refusal};
use super::server::{Server, Wish};

/// A folder whose files are given out.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

impl Root {
    /// Opens the folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            folder: open(path, flags, Mode::empty())?,
        })
    }

    /// Opens a file and returns its size.
    ///
    /// The way is walked folder by folder, each opened inside the one before and none through a symbolic link. A path
    /// that is looked at first and opened afterwards may have become another one in between.
    fn file(&self, name: &FileName) -> Result<(File, u64), Refusal> {
        let never_linked = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let (folders, last) = name.parts();
        let mut inside: Option<OwnedFd> = None;
        for folder in folders {
            let here = inside.as_ref().unwrap_or(&self.folder);
            inside = Some(
                openat(
                    here.as_fd(),
                    folder,
                    never_linked | OFlag::O_DIRECTORY,
                    Mode::empty(),
                )
                .map_err(refused)?,
            );
        }
        let here = inside.as_ref().unwrap_or(&self.folder);
        // A named pipe without a writer would be waited for.
        let file = openat(
            here.as_fd(),
            last,
            never_linked | OFlag::O_NONBLOCK,
            Mode::empty(),
        )
        .map_err(refused)?;
        let file = File::from(file);
        let found = file.metadata().map_err(|_| Refusal::Failed)?;
        if found.is_file() {
            Ok((file, found.len()))
        } else {
            Err(Refusal::Denied)
        }
    }

    /// Names the plain files that lie directly in the folder, by name.
    fn names(&self) -> Result<Vec<FileName>, Refusal> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        for entry in std::fs::read_dir(&self.path).map_err(|_| Refusal::Failed)? {
            let entry = entry.map_err(|_| Refusal::Failed)?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let name = FileName::parse(entry.file_name().as_encoded_bytes());
            if let (true, Ok(name)) = (is_file, name) {
                bytes += name.to_string().len() + 1;
                if bytes > PIECE {
                    return Err(Refusal::TooMany);
                }
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn refused(error: Errno) -> Refusal {
    match error {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => Refusal::Missing,
        Errno::EACCES | Errno::EPERM | Errno::ELOOP | Errno::ENXIO => Refusal::Denied,
        _ => Refusal::Failed,
    }
}

/// What one connection of a server has: the folder, and the file that is being sent.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: Arc<Root>,
    file: Option<tokio::fs::File>,
}

impl Shelf {
    pub(crate) fn new(root: &Arc<Root>) -> Self {
        Self {
            root: Arc::clone(root),
            file: None,
        }
    }
}

/// A disk is never "not ready", so no thread that serves others waits for one: the runtime has other threads for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

impl World<Server> for Shelf {
    async fn grant(&mut self, wish: Wish, server: &mut Server) -> io::Result<()> {
        let root = Arc::clone(&self.root);
        match wish {
            Wish::Open(name) => {
                let found = aside(move || root.file(&name)).await?;
                server.opened(found.map(|(file, size)| {
                    self.file = Some(tokio::fs::File::from_std(file));
                    size
                }));
            }
            Wish::Read(most) => {
                let mut bytes = vec![0; most];
                let count = match &mut self.file {
                    Some(file) => file.read(&mut bytes).await?,
                    None => 0,
                };
                bytes.truncate(count);
                server.read(bytes);
            }
            Wish::List => {
                let names = aside(move || root.names()).await?;
                server.listed(names.as_deref().map_err(|refusal| *refusal));
            }
        }
        Ok(())
    }
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The file is here.
    Kept(PathBuf),
    /// A text, which is no file: a list.
    Told(String),
    /// The server refuses.
    Refused(Refusal),
}

/// What a client has: a folder for what comes, and what came of each request. A file appears there when it is whole,
/// and in nobody's place.
#[derive(Debug)]
pub(crate) struct Keep {
    folder: PathBuf,
    now: Option<Coming>,
    /// What came of each request.
    pub(crate) outcomes: Vec<(String, Outcome)>,
}

#[derive(Debug)]
enum Coming {
    Text(String, Vec<u8>),
    File(String, NamedTempFile, tokio::fs::File, PathBuf),
}

impl Keep {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            now: None,
            outcomes: Vec::new(),
        }
    }

    fn begin(&self, request: String, size: u64) -> io::Result<Coming> {
        let Some(name) = request.strip_prefix("GET ") else {
            if size > PIECE as u64 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a list of {size} bytes is too long"),
                ));
            }
            return Ok(Coming::Text(request, Vec::new()));
        };
        let name = FileName::parse(name.as_bytes())
            .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal.to_string()))?;
        let path = self.folder.join(name.parts().1);
        let file = NamedTempFile::new_in(&self.folder)?;
        let writer = tokio::fs::File::from_std(file.as_file().try_clone()?);
        Ok(Coming::File(request, file, writer, path))
    }
}

impl World<Client> for Keep {
    async fn grant(&mut self, got: Got, _: &mut Client) -> io::Result<()> {
        match (got, self.now.take()) {
            (Got::Begins(request, size), _) => self.now = Some(self.begin(request, size)?),
            (Got::Bytes(bytes), Some(mut coming)) => {
                match &mut coming {
                    Coming::Text(_, text) => text.extend_from_slice(&bytes),
                    Coming::File(_, _, writer, _) => writer.write_all(&bytes).await?,
                }
                self.now = Some(coming);
            }
            (Got::Whole, Some(Coming::Text(request, text))) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                self.outcomes.push((request, Outcome::Told(text)));
            }
            (Got::Whole, Some(Coming::File(request, file, mut writer, path))) => {
                writer.flush().await?;
                file.persist_noclobber(&path)?;
                self.outcomes.push((request, Outcome::Kept(path)));
            }
            (Got::Refused(request, refusal), _) => self.outcomes.push((request, Outcome::Refused(refusal))),
            (Got::Broken(why), _) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            (Got::Bytes(_) | Got::Whole, None) => {}
        }
        Ok(())
    }
}
