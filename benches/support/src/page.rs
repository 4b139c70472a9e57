//! Tables of figures in Markdown, and their places in the page of figures.

use std::fmt::Write;

use crate::Row;

const END: &str = "<!-- end of figures -->";

/// The tables of rows, in order of their first rows.
pub(crate) fn tables(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if !names.contains(&row.table) {
            names.push(row.table.clone());
        }
    }
    names
}

/// Writes one table with what printed it, when and on what.
pub(crate) fn table(rows: &[Row], name: &str) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.table == name).collect();
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for figure in rows.iter().flat_map(|row| &row.figures) {
        if !columns.iter().any(|(known, _)| *known == figure.name) {
            columns.push((&figure.name, figure.unit.word()));
        }
    }
    let noted = rows.iter().any(|row| !row.note.is_empty());
    let mut text = String::from("| |");
    for (column, unit) in &columns {
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(", {unit}")
        };
        let _ = write!(text, " {column}{unit} |");
    }
    text.push_str(if noted { " |\n" } else { "\n" });
    text.push_str("|---|");
    text.push_str(&"---:|".repeat(columns.len()));
    text.push_str(if noted { "---|\n" } else { "\n" });
    for row in &rows {
        let _ = write!(text, "| {} |", cell(&row.label));
        for (column, _) in &columns {
            let shown = row.get(column).map(|figure| figure.unit.show(figure.median));
            let _ = write!(text, " {} |", shown.unwrap_or_default());
        }
        if noted {
            let _ = write!(text, " {} |", cell(&row.note));
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&origin(&rows));
    text
}

/// Where the figures come from: each command, machine and time once.
fn origin(rows: &[&Row]) -> String {
    let once = |of: fn(&Row) -> &str| {
        let mut found: Vec<&str> = Vec::new();
        for word in rows.iter().map(|row| of(row)) {
            if !word.is_empty() && !found.contains(&word) {
                found.push(word);
            }
        }
        found
    };
    let mut text = String::new();
    for command in once(|row| &row.command) {
        let _ = writeln!(text, "    {command}");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let days: Vec<String> = once(|row| row.at.get(..10).unwrap_or(&row.at))
        .into_iter()
        .map(str::to_owned)
        .collect();
    let samples: Vec<usize> = rows
        .iter()
        .flat_map(|row| row.figures.iter().map(|figure| figure.samples).max())
        .collect();
    let (few, many) = (
        samples.iter().min().copied().unwrap_or(0),
        samples.iter().max().copied().unwrap_or(0),
    );
    let runs = match (few, many) {
        (_, 0) => String::new(),
        _ if few == many => format!("Medians of {many}; "),
        _ => format!("Medians of {few} to {many}; "),
    };
    let _ = writeln!(
        text,
        "{runs}{}; {}.",
        days.join(", "),
        once(|row| &row.machine).join("; ")
    );
    text
}

/// Text that does not break a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Returns the page with the tables of the benchmark `name` written anew: what stands between
/// `<!-- figures NAME/TABLE -->` and `<!-- end of figures -->`. A place whose table has no rows is left as it is.
#[must_use]
pub fn fill(page: &str, name: &str, rows: &[Row]) -> String {
    let mut text = String::new();
    let mut rest = page;
    let mark = format!("<!-- figures {name}/");
    while let Some((before, from)) = rest.split_once(&mark) {
        let Some((asked, after)) = from.split_once(" -->") else {
            break;
        };
        let Some((old, after)) = after.split_once(END) else {
            break;
        };
        let _ = write!(text, "{before}{mark}{asked} -->");
        if rows.iter().any(|row| row.table == asked) {
            let _ = write!(text, "\n{}", table(rows, asked));
        } else {
            text.push_str(old);
        }
        text.push_str(END);
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;
    use crate::results::{docs, read};

    fn rows() -> Vec<Row> {
        vec![
            Row::new("t", "a|b")
                .command("cargo bench")
                .figure("wall", Unit::Seconds, &[1.0, 2.0, 3.0])
                .figure("hosts", Unit::Count, &[1200.0]),
            Row::new("t", "c")
                .note("failed")
                .figure("hosts", Unit::Count, &[1.0]),
        ]
    }

    #[test]
    fn a_table_has_every_column_and_says_what_printed_it() {
        let text = table(&rows(), "t");
        assert!(
            text.starts_with("| | wall, s | hosts | |\n|---|---:|---:|---|\n"),
            "{text}"
        );
        assert!(
            text.contains("| a\\|b | 2.00 | 1,200 |  |\n| c |  | 1 | failed |\n"),
            "{text}"
        );
        assert!(text.contains("\n    cargo bench\n"), "{text}");
        assert!(text.contains("Medians of 1 to 3;"), "{text}");
    }

    #[test]
    fn only_the_places_of_known_tables_are_filled() {
        let page = "x\n<!-- figures n/t -->\nold\n<!-- end of figures -->\ny\n\
                    <!-- figures n/u -->\nkept\n<!-- end of figures -->\n\
                    <!-- figures m/t -->\nkept too\n<!-- end of figures -->\n";
        let filled = fill(page, "n", &rows());
        assert!(!filled.contains("old") && filled.contains("a\\|b"));
        assert!(filled.contains("kept\n") && filled.contains("kept too") && filled.starts_with("x\n"));
        assert_eq!(fill(&filled, "n", &rows()), filled);
    }

    #[test]
    fn the_figures_of_the_page_are_those_of_the_files() {
        let page = std::fs::read_to_string(docs().join("benchmarks.md")).expect("the page");
        let files = std::fs::read_dir(docs().join("benchmarks")).expect("the folder of results");
        let mut filled = page.clone();
        let mut found = 0;
        for file in files.filter_map(Result::ok).map(|file| file.path()) {
            if file.extension().is_some_and(|ending| ending == "jsonl") {
                let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
                found += 1;
                filled = fill(&filled, &name, &read(&file).expect("a file of results"));
            }
        }
        assert!(found > 0, "there are no results");
        assert!(
            filled == page,
            "write the tables anew: cargo bench ... -- --saved"
        );
    }
}
