//! The user's server, in a home of its own.

mod api;
mod bench;
mod credentials;
mod inventory;
mod life;
mod ownership;
mod watched;

use super::paths::Paths;
use crate::settings::{Environment, Overrides, Settings};

/// A user's folders, fresh.
struct Home {
    folder: tempfile::TempDir,
    settings: Settings,
    paths: Paths,
}

fn home() -> Home {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().as_os_str().to_owned();
    let variables = [("HOME".into(), text.clone()), ("XDG_RUNTIME_DIR".into(), text)];
    let environment = Environment::new(variables.into(), folder.path().to_owned()).expect("a home");
    let settings = Settings::from_environment(&environment, Overrides::default()).expect("settings");
    let paths = Paths::of(&settings);
    Home {
        folder,
        settings,
        paths,
    }
}
