//! A change of the vault's key: the process dies in the middle, and every credential still opens.

use std::collections::BTreeSet;

use crate::world::{Broken, World, run};

/// As many as a point may be passed.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Keeps credentials, and has a server die that changes their key.
pub fn rekey(world: &World<'_>) -> Result<(), Broken> {
    let file = world
        .home
        .write("password", "hunter2")
        .map_err(|error| error.to_string())?;
    let file = file.to_string_lossy().into_owned();
    for name in NAMES {
        let add = ["credentials", "add", name, "--password-file", &file];
        world.succeeds(world.doomed(&add))?;
    }
    run(&mut world.doomed(&["credentials", "rekey"])).map(drop)
}

/// What was interrupted goes on, every credential opens, and one key is left.
pub fn is_whole(world: &World<'_>) -> Result<(), Broken> {
    let open_all = || -> Result<(), Broken> {
        for name in NAMES {
            // What stays has to be opened.
            let set = ["credentials", "set", name, "--user", "deploy"];
            world.succeeds(world.command(&set))?;
        }
        Ok(())
    };
    open_all()?;
    world.succeeds(world.command(&["credentials", "rekey"]))?;
    open_all()?;
    let all = world.succeeds(world.command(&["credentials", "list", "--json"]))?;
    let all: serde_json::Value = serde_json::from_str(&all).map_err(|error| error.to_string())?;
    let keys: BTreeSet<String> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["sealed_with"].to_string())
        .collect();
    let path = world.home.state_dir().join("muster/vault.key");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let in_file = text.lines().filter(|line| !line.starts_with('#')).count();
    match (keys.len(), in_file) {
        (1, 1) => Ok(()),
        other => Err(format!("keys in use and in the file: {other:?}\n{all:#}")),
    }
}
