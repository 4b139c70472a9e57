//! From a file, a folder or standard input to a document.

use std::path::Path;

use bytes::Bytes;
use muster_model::inventory::Document;

use super::ansible::sources;
use super::draft::Draft;
use super::fault::{Fault, Findings, Note, Place};
use super::files::Files;
use super::format::{self, Format};
use super::{clustershell, csv, hosts_file, json, list, ssh_config};

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The hosts and groups.
    pub document: Document,
    /// The format that it was read in.
    pub format: Format,
    /// The format was guessed: nobody said it.
    pub guessed: bool,
    /// What was left out, or read in a way of its own.
    pub notes: Vec<Note>,
}

/// Reads an inventory; `stdin` is what standard input held, where `path` stands for it. Without a format one is
/// guessed by the name and by what is in it.
///
/// # Errors
///
/// Everything that is wrong, up to fifty faults. Nothing is to be imported then.
pub fn read(path: &Path, format: Option<Format>, stdin: Option<Bytes>) -> Result<Read, Vec<Fault>> {
    let mut findings = Findings::default();
    let mut files = Files::default();
    let guessed = format.is_none();
    let (format, draft) = if stdin.is_none() && path.is_dir() {
        read_folder(path, format, &mut files, &mut findings)
    } else {
        read_file(path, format, stdin, &mut files, &mut findings)
    };
    let document = match draft {
        Some(draft) if findings.is_clean() => draft.finish(&mut findings),
        _ => Document::default(),
    };
    if findings.is_clean()
        && document.hosts.is_empty()
        && document.groups.is_empty()
        && format != Format::Json
    {
        let number = findings.file(&path.display().to_string());
        let what =
            format!("no host and no group is in it, read as {format}: say the format if it is another");
        findings.fault(Place::whole(number), what);
    }
    let notes = findings.finish()?;
    Ok(Read {
        document,
        format,
        guessed,
        notes,
    })
}

fn read_folder(
    path: &Path,
    format: Option<Format>,
    files: &mut Files,
    findings: &mut Findings,
) -> (Format, Option<Draft>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let guess = match &*name {
        "groups.d" | "clustershell" => Format::ClusterShell,
        _ => Format::AnsibleFolder,
    };
    let format = format.unwrap_or(guess);
    match format {
        Format::ClusterShell => (format, Some(clustershell::folder(path, files, findings))),
        Format::AnsibleFolder | Format::AnsibleIni | Format::AnsibleYaml => (
            Format::AnsibleFolder,
            Some(sources::folder(path, files, findings)),
        ),
        other => {
            let number = findings.file(&path.display().to_string());
            findings.fault(
                Place::whole(number),
                format!("this is a folder, and {other} is a format of files: name a file"),
            );
            (other, None)
        }
    }
}

fn read_file(
    path: &Path,
    format: Option<Format>,
    stdin: Option<Bytes>,
    files: &mut Files,
    findings: &mut Findings,
) -> (Format, Option<Draft>) {
    let shown = match stdin {
        Some(_) => "standard input".to_owned(),
        None => path.display().to_string(),
    };
    let number = findings.file(&shown);
    let beside = match (stdin.is_none(), path.parent()) {
        (true, Some(folder)) if folder.as_os_str().is_empty() => Some(Path::new(".")),
        (true, folder) => folder,
        (false, _) => None,
    };
    let text = match stdin {
        Some(bytes) => files.take(bytes.into()),
        None => files.text(path),
    };
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            findings.fault(Place::whole(number), why);
            return (format.unwrap_or(Format::List), None);
        }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let format = format.unwrap_or_else(|| format::guess(&name, &text));
    let draft = match format {
        Format::Json => json::read(&text, number, findings),
        Format::Csv => csv::read(&text, number, findings),
        Format::List => list::read(&text, number, findings),
        Format::AnsibleIni | Format::AnsibleYaml | Format::AnsibleJson => {
            sources::file(&text, format, number, beside, files, findings)
        }
        Format::AnsibleFolder => {
            findings.fault(
                Place::whole(number),
                "this is no folder: name the folder, or say ansible-ini or ansible-yaml",
            );
            return (format, None);
        }
        Format::SshConfig => ssh_config::read(&text, number, beside, files, findings),
        Format::ClusterShell => clustershell::file(&text, &name, number, beside, files, findings),
        Format::Hosts => hosts_file::read(&text, number, findings),
    };
    (format, Some(draft))
}
