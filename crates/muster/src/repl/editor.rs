//! The line editor, on a thread of its own.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use muster_model::Problem;
use muster_model::problem::Code;
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use reedline::{
    ColumnarMenu, EditCommand, Emacs, ExternalPrinter, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder,
    Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal,
    ValidationResult, Validator, default_emacs_keybindings,
};
use tokio::sync::mpsc;

use super::complete::Completion;
use super::names::Names;
use super::split;
use crate::settings::Settings;

/// So many lines are remembered.
const HISTORY: usize = 10_000;
/// So many notices wait for the prompt; what is beyond is dropped, `tasks` shows it.
const NOTICES: usize = 100;

/// What came from the keyboard.
pub(super) enum Typed {
    /// A line.
    Line(String),
    /// The end: Ctrl-D.
    End,
    /// The terminal cannot be used.
    Broken(String),
}

/// The handle of the editor's thread.
pub(super) struct Editor {
    typed: mpsc::Receiver<Typed>,
    /// Lets the thread read the next line; dropped to end it.
    go: Option<SyncSender<()>>,
    notices: SyncSender<String>,
    thread: Option<JoinHandle<()>>,
}

impl Editor {
    /// Starts the thread; the prompt appears.
    pub(super) fn start(settings: &Settings, names: Names) -> Result<Self, Problem> {
        let (line, typed) = mpsc::channel(1);
        let (go, gone_on) = sync_channel(1);
        let printer = ExternalPrinter::new(NOTICES);
        let notices = printer.sender();
        let reedline = build(settings, names, printer);
        let thread = std::thread::Builder::new()
            .name("prompt".to_owned())
            .spawn(move || read_lines(reedline, &line, &gone_on))
            .map_err(|error| Problem::new(Code::Internal, format!("a thread cannot be started: {error}")))?;
        Ok(Self {
            typed,
            go: Some(go),
            notices,
            thread: Some(thread),
        })
    }

    /// Returns what is typed next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Typed {
        self.typed.recv().await.unwrap_or(Typed::End)
    }

    /// Shows the prompt again.
    pub(super) fn go_on(&self) {
        if let Some(go) = &self.go {
            let _ = go.try_send(());
        }
    }

    /// Shows a line above the prompt.
    pub(super) fn notice(&self, notice: String) {
        let _ = self.notices.try_send(notice);
    }
}

impl Drop for Editor {
    /// Ends the thread: it is not reading when the prompt is left.
    fn drop(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The terminal between two lines: what is typed while a command runs waits for the prompt, as it was typed.
///
/// The line editor puts the terminal back to how it found it. Found as usual, the terminal would show what is
/// typed in the midst of a command's output, and would turn the Enter that ends it into a line feed, behind
/// which the line editor loses a second line.
struct Held {
    before: Option<Termios>,
}

impl Held {
    fn hold() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut held = before.clone();
            held.local_flags.remove(LocalFlags::ECHO);
            held.input_flags.remove(InputFlags::ICRNL);
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &held);
        }
        Self { before }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Reads lines until nobody wants more.
fn read_lines(mut reedline: Reedline, line: &mpsc::Sender<Typed>, go: &Receiver<()>) {
    let _held = Held::hold();
    loop {
        let typed = match reedline.read_line(&Arrow) {
            Ok(Signal::Success(text)) => {
                let _ = reedline.sync_history();
                Typed::Line(text)
            }
            Ok(Signal::CtrlD) => Typed::End,
            Ok(_) => continue,
            Err(error) => Typed::Broken(error.to_string()),
        };
        let last = !matches!(typed, Typed::Line(_));
        if line.blocking_send(typed).is_err() || last || go.recv().is_err() {
            return;
        }
    }
}

fn build(settings: &Settings, names: Names, printer: ExternalPrinter<String>) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu("completion".to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    // Ctrl-C clears the line and stays in it: what was typed behind it is not lost.
    keys.add_binding(
        KeyModifiers::CONTROL,
        KeyCode::Char('c'),
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Multiple(vec![
                ReedlineEvent::Esc,
                ReedlineEvent::Edit(vec![EditCommand::Clear]),
            ]),
            // In a search of the history.
            ReedlineEvent::Esc,
        ]),
    );
    let menu = ColumnarMenu::default().with_name("completion");
    let mut reedline = Reedline::create()
        .with_external_printer(printer)
        .with_ansi_colors(settings.colours)
        .with_validator(Box::new(Whole))
        .with_completer(Box::new(Completion::new(names)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true);
    if let Some(history) = history(&settings.state_dir) {
        reedline = reedline.with_history(Box::new(history));
    }
    reedline
}

/// Opens the history in the state folder, for the user's eyes alone; None: it is kept in memory.
fn history(folder: &Path) -> Option<FileBackedHistory> {
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let path = folder.join("history");
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .ok()?;
    FileBackedHistory::with_file(HISTORY, path).ok()
}

/// A line with an open quote goes on in the next one.
struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        if split::is_complete(line) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// The prompt `>>: `.
struct Arrow;

impl Prompt for Arrow {
    fn render_prompt_left(&self) -> std::borrow::Cow<'_, str> {
        ">>: ".into()
    }

    fn render_prompt_right(&self) -> std::borrow::Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> std::borrow::Cow<'_, str> {
        "".into()
    }

    fn render_prompt_multiline_indicator(&self) -> std::borrow::Cow<'_, str> {
        "..: ".into()
    }

    fn render_prompt_history_search_indicator(
        &self,
        search: PromptHistorySearch,
    ) -> std::borrow::Cow<'_, str> {
        format!("(search: {}) ", search.term).into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use reedline::{History, HistoryItem};

    use super::*;

    #[test]
    fn the_history_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let mut kept = history(&state).expect("a history");
        kept.save(HistoryItem::from_command_line("tasks")).expect("kept");
        kept.sync().expect("written");
        let mode = |path: &Path| std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join("history")), 0o600);
        assert!(
            std::fs::read_to_string(state.join("history"))
                .expect("text")
                .contains("tasks")
        );
    }
}
