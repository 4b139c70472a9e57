//! Copying, and the proof that nothing was lost.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use muster_model::ErrorKind;
use muster_model::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::logs::{LogSum, Reader, Writer};
use super::mark;
use super::pages::Pages;
use super::plan::{self, LOGS, Table, number};
use super::side::Side;
use super::sum::Sum;
use super::{insert, prepare, sequence};
use crate::adapters::sql::translate::{Phase, during, translate};
use crate::adapters::sql::writer::begin;
use crate::adapters::sqlite::kind_of;
use crate::error::Error;

/// The name under which the output logs stand in a proof.
const OUTPUT: &str = "output logs";

/// What is copied.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Whether servers may be at work on it: then the copy is of one moment, and what they do later is not in it.
    pub live: bool,
}

/// What a copy has and its source had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The table, or "output logs".
    pub name: String,
    /// How many rows, or logs.
    pub rows: u64,
    /// The checksum over every value of every row, whatever the order and the engine.
    pub checksum: String,
}

/// A copy that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What was copied, for people.
    pub source: String,
    /// Where it is now, for people.
    pub target: String,
    /// The proof for each table, in the order in which they were copied.
    pub proofs: Vec<Proof>,
}

/// Hears how far a copy is: what is being done with which table, and how many rows (or logs' pieces) are through.
pub type Told<'a> = &'a (dyn Fn(&str, u64) + Sync);

/// Copies everything from one database into another one, which is empty or in which a copy was interrupted, and proves
/// it. Where it fails or is dropped half-way, the target refuses to be opened until a copy into it has come to its end.
///
/// # Errors
///
/// As [`crate::open()`] for both. `Conflict` for a source that servers are at work on (unless `live`), whose schema is
/// older, or which is itself an unfinished copy; for a target that is not empty; and where another copy into it begins.
/// `NotFound` for a source that is not there. `Corrupt` where what is read back is not what was copied.
pub async fn copy(from: Source<'_>, to: &str, told: Told<'_>) -> Result<Copied, Error> {
    let source = Side::existing(from.url).await?;
    into(source, || Side::connect(to), from.live, Whose::Database, told).await
}

/// Puts a backup into a database as [`copy`] does.
///
/// # Errors
///
/// Those of [`copy`]; `Invalid` where the file is a database, but no backup.
pub async fn restore(file: &Path, to: &str, told: Told<'_>) -> Result<Copied, Error> {
    if !file.exists() {
        let what = format!("read {}: there is no such file", file.display());
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let source = Side::file(file, None).await?;
    into(source, || Side::connect(to), true, Whose::Backup, told).await
}

/// Saves a database into a new file, output logs and all, at one moment; servers may be at work meanwhile. The file is
/// there as a whole or not at all; what was interrupted stays behind as `<file>.part` and is begun anew.
///
/// # Errors
///
/// Those of [`copy`]; `AlreadyExists` where there is a file of that name.
pub async fn backup(url: &str, file: &Path, told: Told<'_>) -> Result<Copied, Error> {
    let taken = || {
        let what = format!(
            "write {}: the file is there already, and was left as it is",
            file.display()
        );
        Error::new(ErrorKind::AlreadyExists, what)
    };
    if file.exists() {
        return Err(taken());
    }
    let mut part = file.to_owned().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let source = Side::existing(url).await?;
    let mut copied = into(source, || Side::file(&part, None), true, Whose::Saved, told).await?;
    let name = file.to_owned();
    let named = tokio::task::spawn_blocking(move || put_in_place(&part, &name));
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        kind => Error::new(kind_of(kind), format!("write {}", file.display())).caused_by(error),
    };
    match named.await {
        Ok(named) => named.map_err(failed)?,
        Err(error) => return Err(Error::new(ErrorKind::Internal, "name the backup").caused_by(error)),
    }
    copied.target = file.display().to_string();
    Ok(copied)
}

/// Forces a file onto the disk and gives it its name, unless that is taken.
fn put_in_place(part: &Path, name: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    match fs::hard_link(part, name) {
        Ok(()) => fs::remove_file(part)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // A file system without links.
        Err(_) => fs::rename(part, name)?,
    }
    match name.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Between what a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// From a database into another one.
    Database,
    /// From a backup into a database.
    Backup,
    /// From a database into a backup.
    Saved,
}

async fn into<T: Future<Output = Result<Side, Error>>>(
    source: Side,
    target: impl FnOnce() -> T,
    live: bool,
    whose: Whose,
    told: Told<'_>,
) -> Result<Copied, Error> {
    let result = match begin_copy(&source, live, whose).await {
        Ok((plan, snapshot)) => match target().await {
            Ok(target) => {
                let copy = Copy {
                    plan: &plan,
                    source: &source,
                    target: &target,
                    id: mark::name(),
                    told,
                };
                let result = Box::pin(copy.run(snapshot, live, whose)).await;
                target.close().await;
                result
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    source.close().await;
    result
}

/// Looks at the source, and begins to read one moment of it.
async fn begin_copy(
    source: &Side,
    live: bool,
    whose: Whose,
) -> Result<(Vec<Table>, DatabaseTransaction), Error> {
    let plan = plan::plan().await?;
    let (snapshot, schema) = source.snapshot().await?;
    match (&schema.mark, whose) {
        (Some(mark), Whose::Database | Whose::Saved) => {
            return Err(source.refused(ErrorKind::Conflict, mark.refusal()));
        }
        (None, Whose::Backup) => {
            let what = "it is a database and no backup: muster db copy --from sqlite://… copies it";
            return Err(source.refused(ErrorKind::Invalid, what));
        }
        _ => {}
    }
    plan::check(&snapshot, &plan, &source.place).await?;
    if !live {
        refuse_servers(source, &snapshot).await?;
    }
    Ok((plan, snapshot))
}

/// Refuses a source on which servers are at work.
async fn refuse_servers<C: ConnectionTrait>(source: &Side, db: &C) -> Result<(), Error> {
    let now: Timestamp = muster_runtime::now();
    let sql = format!("SELECT COUNT(*) FROM executors WHERE lease_until > {}", now.0);
    let alive = number(db, &sql)
        .await
        .map_err(during("look for servers"))?
        .unwrap_or(0);
    match alive {
        0 => Ok(()),
        alive => Err(source.refused(
            ErrorKind::Conflict,
            format!(
                "{alive} of its servers are at work, or were a minute ago: stop them (muster server stop), or say \
                 --live for a copy of this moment, without what they do next"
            ),
        )),
    }
}

/// A copy on its way.
struct Copy<'a> {
    plan: &'a [Table],
    source: &'a Side,
    target: &'a Side,
    id: String,
    told: Told<'a>,
}

impl Copy<'_> {
    async fn run(self, snapshot: DatabaseTransaction, live: bool, whose: Whose) -> Result<Copied, Error> {
        if self.source.place == self.target.place {
            return Err(self
                .target
                .refused(ErrorKind::Invalid, "it would be copied into itself"));
        }
        prepare::prepare(self.target, self.plan, &self.id, &self.source.place).await?;
        let mut sums = Vec::new();
        for table in self.plan {
            let sum = match table.name.as_str() {
                LOGS => self.logs(table, &snapshot).await?,
                _ => self.rows(table, &snapshot).await?,
            };
            self.sequence(table, &snapshot).await?;
            sums.push(sum);
        }
        // It has done its work, and holds up tidying.
        snapshot
            .rollback()
            .await
            .map_err(|error| translate(format!("read {}", self.source.place), Phase::Work, error))?;
        let mut proofs = Vec::new();
        for (table, source) in self.plan.iter().zip(sums) {
            proofs.push(self.prove(table, &source).await?);
        }
        if !live {
            refuse_servers(self.source, &self.source.db).await?;
        }
        self.finish(whose).await?;
        Ok(Copied {
            source: self.source.place.clone(),
            target: self.target.place.clone(),
            proofs,
        })
    }

    async fn rows(&self, table: &Table, snapshot: &DatabaseTransaction) -> Result<Sum, Error> {
        let operation = format!("read {} of {}", table.name, self.source.place);
        let mut pages = Pages::of(table, snapshot.get_database_backend());
        let mut sum = Sum::default();
        loop {
            let page = pages.next(snapshot).await.map_err(during(&operation))?;
            if page.is_empty() {
                return Ok(sum);
            }
            for row in &page {
                sum.add(&table.name, row);
            }
            insert::page(self.target, &self.id, table, page).await?;
            (self.told)(&format!("copying {}", table.name), sum.rows);
        }
    }

    async fn logs(&self, table: &Table, snapshot: &DatabaseTransaction) -> Result<Sum, Error> {
        // Files are of no moment: logs of later tasks may stand there.
        let newest = number(snapshot, "SELECT MAX(id) FROM tasks")
            .await
            .map_err(during("read the newest task"))?
            .unwrap_or(0);
        let mut reader = Reader::of(self.source, table, newest);
        let mut writer = Writer::into(self.target, &self.id, table);
        let mut sum = LogSum::default();
        let mut count = 0;
        loop {
            let pieces = reader.next(snapshot).await?;
            if pieces.is_empty() {
                writer.finish().await?;
                return Ok(sum.finish());
            }
            count += pieces.len() as u64;
            for piece in &pieces {
                sum.add(piece)?;
            }
            writer.write(pieces).await?;
            (self.told)("copying output logs", count);
        }
    }

    /// Has the target go on with numbers where the source would.
    async fn sequence(&self, table: &Table, snapshot: &DatabaseTransaction) -> Result<(), Error> {
        let Some(column) = &table.counted else {
            return Ok(());
        };
        let operation = format!("have the numbers of {} go on", table.name);
        let last = sequence::last(snapshot, &table.name, column)
            .await
            .map_err(during(&operation))?;
        sequence::go_on_behind(&self.target.db, &table.name, column, last)
            .await
            .map_err(during(&operation))?;
        let there = sequence::last(&self.target.db, &table.name, column)
            .await
            .map_err(during(&operation))?;
        match there >= last {
            true => Ok(()),
            false => Err(self.target.refused(
                ErrorKind::Corrupt,
                format!(
                    "the numbers of {} would begin again behind {there}, not {last}",
                    table.name
                ),
            )),
        }
    }

    /// Reads a table back from the target and compares it with what was read from the source.
    async fn prove(&self, table: &Table, source: &Sum) -> Result<Proof, Error> {
        let db = &self.target.db;
        let is_log = table.name == LOGS;
        let name = if is_log { OUTPUT } else { table.name.as_str() };
        let doing = format!("checking {name}");
        let target = if is_log {
            let mut reader = Reader::of(self.target, table, i64::MAX);
            let mut sum = LogSum::default();
            loop {
                let pieces = reader.next(db).await?;
                if pieces.is_empty() {
                    break sum.finish();
                }
                pieces.iter().try_for_each(|piece| sum.add(piece))?;
            }
        } else {
            let operation = format!("read {} of {} back", table.name, self.target.place);
            let mut pages = Pages::of(table, db.get_database_backend());
            let mut sum = Sum::default();
            loop {
                let page = pages.next(db).await.map_err(during(&operation))?;
                if page.is_empty() {
                    break sum;
                }
                for row in &page {
                    sum.add(&table.name, row);
                }
                (self.told)(&doing, sum.rows);
            }
        };
        if target != *source {
            return Err(self.target.refused(
                ErrorKind::Corrupt,
                format!(
                    "{name} is not what was copied: {} rows with checksum {} were read from the source, {} rows with \
                     checksum {} from the copy; run the copy again",
                    source.rows,
                    source.text(),
                    target.rows,
                    target.text()
                ),
            ));
        }
        Ok(Proof {
            name: name.to_owned(),
            rows: target.rows,
            checksum: target.text(),
        })
    }

    /// Takes the mark away, or says by it that this is a backup.
    async fn finish(&self, whose: Whose) -> Result<(), Error> {
        let operation = format!("finish the copy {}", self.target.place);
        let transaction = begin(&self.target.db, &operation).await?;
        let marked = match whose {
            Whose::Saved => mark::keep_as_backup(&transaction, &self.id).await,
            _ => mark::remove(&transaction, &self.id).await,
        };
        match marked {
            Ok(true) => {}
            Ok(false) => return Err(mark::taken_over(&operation)),
            Err(error) => return Err(translate(operation, Phase::Work, error)),
        }
        transaction
            .commit()
            .await
            .map_err(|error| translate(operation, Phase::Commit, error))
    }
}
