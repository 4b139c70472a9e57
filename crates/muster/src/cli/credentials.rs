//! The commands about credentials. Secrets are asked for or read from files, sent, and wiped.

use std::path::{Path, PathBuf};

use muster_client::exit;
use muster_model::problem::Code;
use muster_model::wire::credentials::{CredentialView, Encoded, Held, PutCredential, PutMode};
use muster_model::{Problem, Secret};
use zeroize::Zeroize;

use super::args::{Contents, Credentials};
use super::context::Context;
use super::input::{self, Stdin};
use super::stop::Stop;
use crate::render::sanitise;
use crate::render::table::Table;

/// The longest key or certificate that is read, in bytes.
const KEY_BYTES: usize = 64 * 1024;
/// The longest file with a password that is read, in bytes.
const PASSWORD_BYTES: usize = 4096;

/// `credentials …`.
pub async fn credentials(context: &mut Context, command: &Credentials) -> Result<u8, Stop> {
    match command {
        Credentials::List { json } => list(context, *json).await?,
        Credentials::Show { name, json } => {
            let view = context.client().await?.credential(name).await?;
            if *json {
                context.print_json(&view).await?;
            } else {
                context.print(&shown(&view)).await?;
            }
        }
        Credentials::Add(contents) => put(context, contents, PutMode::Add, &[]).await?,
        Credentials::Set(change) => {
            let forget: Vec<Held> = change.forget.iter().map(|part| (*part).into()).collect();
            put(context, &change.contents, PutMode::Change, &forget).await?;
        }
        Credentials::Rm { name, force } => {
            context.client().await?.remove_credential(name, *force).await?;
            context.notice(&format!("credential {name} removed")).await;
        }
        Credentials::Rekey { json } => {
            let done = context.client().await?.rekey().await?;
            if *json {
                context.print_json(&done).await?;
            } else {
                let count = match done.resealed {
                    1 => "1 credential".to_owned(),
                    count => format!("{count} credentials"),
                };
                let mut told = format!("{count} sealed with the new key {}", sanitise::line(&done.key));
                if done.resumed {
                    told.push_str("; an earlier call had begun it");
                }
                context.notice(&told).await;
            }
        }
    }
    Ok(exit::SUCCESS)
}

async fn list(context: &mut Context, json: bool) -> Result<(), Stop> {
    let all = context.client().await?.credentials().await?;
    if json {
        return context.print_json(&all).await;
    }
    if all.is_empty() {
        context
            .notice("there are no credentials: `muster credentials add NAME` keeps one")
            .await;
        return Ok(());
    }
    let mut table = Table::new(&["CREDENTIAL", "USER", "HOLDS", "HOSTS", "CHANGED"]);
    for view in &all {
        table.row([
            view.name.to_string(),
            view.user.clone().unwrap_or_else(|| "-".to_owned()),
            holds(view),
            view.hosts.to_string(),
            view.changed_at.to_string(),
        ]);
    }
    context.print(&table.text()).await
}

fn holds(view: &CredentialView) -> String {
    let names: Vec<&str> = view.holds.iter().map(|held| held.as_str()).collect();
    names.join(", ")
}

fn shown(view: &CredentialView) -> String {
    let mut table = Table::new(&["credential", view.name.as_str()]);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for (name, value) in [
        ("user", or_dash(&view.user)),
        ("holds", holds(view)),
        ("public key", or_dash(&view.public_key)),
        ("hosts", view.hosts.to_string()),
        ("sealed with", view.sealed_with.clone()),
        ("created", view.created_at.to_string()),
        ("changed", view.changed_at.to_string()),
    ] {
        table.row([name.to_owned(), value]);
    }
    table.text()
}

async fn put(context: &mut Context, contents: &Contents, mode: PutMode, forget: &[Held]) -> Result<(), Stop> {
    let request = request(contents, mode, forget, context.stdin)?;
    let view = context
        .client()
        .await?
        .put_credential(&contents.name, &request)
        .await?;
    drop(request);
    let what = match mode {
        PutMode::Add => "kept",
        PutMode::Change | PutMode::Replace => "changed",
    };
    let told = format!("credential {} {what}: it holds {}", view.name, holds(&view));
    context.notice(&sanitise::line(&told)).await;
    Ok(())
}

fn request(contents: &Contents, mode: PutMode, forget: &[Held], stdin: Stdin) -> Result<PutCredential, Stop> {
    let files = [
        &contents.key,
        &contents.passphrase_file,
        &contents.password_file,
        &contents.sudo_password_file,
    ];
    let from_stdin = files
        .into_iter()
        .flatten()
        .filter(|path| path.as_path() == Path::new("-"));
    if from_stdin.count() > 1 {
        return Err(
            Problem::new(Code::InvalidRequest, "standard input is asked for more than once")
                .hint("write one of them into a file that you alone can read")
                .into(),
        );
    }
    let key = contents.key.as_deref();
    let certificate = contents
        .certificate
        .as_deref()
        .map(|path| text(path, "certificate", KEY_BYTES, stdin))
        .transpose()?;
    Ok(PutCredential {
        mode,
        user: contents.user.clone(),
        key_base64: key
            .map(|path| text(path, "private key", KEY_BYTES, stdin).map(Encoded))
            .transpose()?,
        certificate: certificate.map(|text| text.expose().to_owned()),
        passphrase_base64: asked_or_read(
            contents
                .ask_passphrase
                .then_some(("--ask-passphrase", "Passphrase: ")),
            contents.passphrase_file.as_ref(),
            stdin,
        )?,
        password_base64: asked_or_read(
            contents.ask_password.then_some(("--ask-password", "Password: ")),
            contents.password_file.as_ref(),
            stdin,
        )?,
        sudo_password_base64: asked_or_read(
            contents
                .ask_sudo_password
                .then_some(("--ask-sudo-password", "Password for sudo: ")),
            contents.sudo_password_file.as_ref(),
            stdin,
        )?,
        forget: forget.to_vec(),
    })
}

/// Asks for a secret, or reads it from the first line of a file.
fn asked_or_read(
    ask: Option<(&str, &str)>,
    file: Option<&PathBuf>,
    stdin: Stdin,
) -> Result<Option<Encoded>, Stop> {
    if let Some((option, prompt)) = ask {
        return Ok(Some(Encoded(input::secret(option, prompt)?)));
    }
    let Some(path) = file else { return Ok(None) };
    let whole = text(path, "file with a secret", PASSWORD_BYTES, stdin)?;
    let line = whole.expose().strip_suffix('\n').unwrap_or(whole.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Some(Encoded(Secret::new(line.to_owned()))))
}

/// Reads a file of text.
fn text(path: &Path, what: &str, most: usize, stdin: Stdin) -> Result<Secret, Problem> {
    match String::from_utf8(input::file(path, what, most, stdin)?) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(Problem::new(
                Code::InvalidRequest,
                format!("the {what} '{}' is not text", path.display()),
            ))
        }
    }
}
