//! The results of one benchmark: printed, kept in a file, and brought to the page of figures.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{Options, Plot, Row, machine, page};

/// Returns the folder of the documentation.
#[must_use]
pub fn docs() -> PathBuf {
    workspace().join("docs")
}

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// What a benchmark has found.
#[derive(Debug)]
pub struct Results {
    name: String,
    /// Where the files go.
    folder: PathBuf,
    saves: bool,
    /// What stood in the file before.
    kept: Vec<Row>,
    /// What was measured now.
    rows: Vec<Row>,
    plots: Vec<Plot>,
}

impl Results {
    /// Makes the results of the benchmark `name`. Those that its file has already are kept until a row with the
    /// same table and label replaces them.
    #[must_use]
    pub fn new(name: &str, options: &Options) -> Self {
        let folder = if options.saves() {
            docs().join("benchmarks")
        } else {
            workspace().join("target/benchmarks")
        };
        Self::in_folder(name, folder, options.saves())
    }

    fn in_folder(name: &str, folder: PathBuf, saves: bool) -> Self {
        let kept = read(&folder.join(format!("{name}.jsonl"))).unwrap_or_default();
        Self {
            name: name.to_owned(),
            folder,
            saves,
            kept,
            rows: Vec::new(),
            plots: Vec::new(),
        }
    }

    /// Adds a row. Its time and machine are written down.
    pub fn add(&mut self, mut row: Row) {
        row.at = now();
        row.machine = machine::describe();
        self.rows.push(row);
        // What has been measured is not lost when a later part stops.
        if let Err(error) = self.write_rows() {
            eprintln!("the results are not written: {error}");
        }
    }

    /// Adds a plot of a table.
    pub fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// Returns a row that was measured now, or is in the file.
    #[must_use]
    pub fn row(&self, table: &str, label: &str) -> Option<&Row> {
        let same = |row: &&Row| row.table == table && row.label == label;
        self.rows
            .iter()
            .rev()
            .find(same)
            .or_else(|| self.kept.iter().find(same))
    }

    /// Returns all rows: the kept ones in their places, with those measured now in the place of what they
    /// replace.
    #[must_use]
    pub fn all(&self) -> Vec<Row> {
        let mut all = self.kept.clone();
        for row in &self.rows {
            match all
                .iter_mut()
                .find(|old| old.table == row.table && old.label == row.label)
            {
                Some(old) => *old = row.clone(),
                None => all.push(row.clone()),
            }
        }
        all
    }

    /// Prints the tables and writes the file, the plots and (where the results are saved) the page of figures.
    pub fn finish(self) -> ExitCode {
        let measured: Vec<&str> = self.rows.iter().map(|row| row.table.as_str()).collect();
        let all = self.all();
        for table in page::tables(&all) {
            if self.rows.is_empty() || measured.contains(&table.as_str()) {
                println!("\n{}/{table}\n\n{}", self.name, page::table(&all, &table));
            }
        }
        match self.write() {
            Ok(()) => {
                println!("results: {}", self.file().display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("the results are not written: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.jsonl", self.name))
    }

    fn write(&self) -> io::Result<()> {
        self.write_rows()?;
        let all = self.all();
        for plot in &self.plots {
            if let Some(drawing) = plot.draw(&all)? {
                let name = format!("{}-{}.svg", self.name, plot.file());
                fs::write(self.folder.join(name), drawing)?;
            }
        }
        if self.saves {
            let path = docs().join("benchmarks.md");
            let text = fs::read_to_string(&path)?;
            fs::write(&path, page::fill(&text, &self.name, &all))?;
        }
        Ok(())
    }

    fn write_rows(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut text = Vec::new();
        for row in self.all() {
            serde_json::to_writer(&mut text, &row)?;
            text.push(b'\n');
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&text)?;
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(self.file())?;
        Ok(())
    }
}

/// Reads a file of results.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Row>> {
    let text = fs::read_to_string(path)?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(io::Error::from))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "figures say when they were measured; the product's clock is not for this"
)]
fn now() -> String {
    let text = jiff::Timestamp::now().to_string();
    let minute = text.get(..16).unwrap_or(&text);
    format!("{} UTC", minute.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    #[test]
    fn a_row_replaces_its_like_and_leaves_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let row = |label: &str, wall: f64| Row::new("t", label).figure("wall", Unit::Seconds, &[wall]);
        let mut first = Results::in_folder("x", folder.path().to_owned(), false);
        first.add(row("a", 1.0));
        first.add(row("b", 2.0));
        drop(first);
        // Nothing was finished: it is kept all the same.
        let mut second = Results::in_folder("x", folder.path().to_owned(), false);
        second.add(row("a", 3.0));
        let wall = |label: &str| {
            second
                .row("t", label)
                .and_then(|row| row.get("wall").map(|wall| wall.median))
        };
        assert_eq!((wall("a"), wall("b"), wall("c")), (Some(3.0), Some(2.0), None));
        let rows = read(&folder.path().join("x.jsonl")).expect("reads");
        assert_eq!(rows, second.all());
        assert_eq!(rows.len(), 2);
        assert!(rows[0].at.ends_with("UTC") && rows[0].machine.contains("cores"));
    }
}
