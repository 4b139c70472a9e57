//! One login: the ways that the host accepts, in our order, until it lets us in or nothing is left.

use std::sync::Arc;
use std::time::Duration;

use muster_model::{Secret, Unreachable};
use muster_runtime::clock;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse, Prompt};
use russh::keys::HashAlg;
use russh::{MethodKind, MethodSet};

use super::failure::{self, Tried};
use crate::adapters::ssh::handler::ClientHandler;
use crate::adapters::ssh::identity::{self, Kept, Offers, SignError, Signing};
use crate::adapters::ssh::resolve::{Method, Resolved};
use crate::adapters::ssh::trace::Trace;
use crate::error::ConnectError;

/// sshd ends a connection after six failures (`MaxAuthTries`): where there is a password, it gets one.
const KEYS_BEFORE_PASSWORD: usize = 5;
/// The most keys that are shown at all.
const KEYS: usize = 64;
/// How often a host may ask, in keyboard-interactive.
const ROUNDS: usize = 8;
/// How long to wait for the host's last words once the connection is gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Logs in.
pub(crate) async fn authenticate(
    handle: &mut Handle<ClientHandler>,
    resolved: &Resolved,
    trace: &Arc<Trace>,
) -> Result<(), ConnectError> {
    let mut given = Given::of(resolved)?;
    let offers = if resolved.methods.contains(&Method::PublicKey) {
        let kept = given.kept.take();
        identity::collect(&resolved.identities, given.passphrase.as_ref(), kept, handle).await
    } else {
        Offers::default()
    };
    let mut attempt = Attempt {
        handle,
        resolved,
        tried: Tried {
            has_password: given.password.is_some(),
            ..Tried::default()
        },
        given,
        offers,
        accepted: None,
        shown: 0,
        done: Vec::new(),
        rsa: None,
    };
    let end = attempt.run().await;
    let Attempt {
        tried,
        offers,
        accepted,
        handle,
        ..
    } = attempt;
    match end {
        End::In => Ok(()),
        End::Refused => Err(failure::refused(
            resolved,
            &tried,
            &offers,
            accepted.as_deref().unwrap_or_default(),
        )),
        End::Asked(prompt) => Err(failure::asked(resolved, &prompt)),
        End::Gone => {
            // The connection's own task knows why; it is about to end.
            let _ = clock::deadline(LAST_WORDS, handle).await;
            Err(failure::gone(resolved, trace, &tried))
        }
    }
}

/// What this login has: what was typed goes before what is stored. Wiped when the login is over.
struct Given {
    password: Option<Secret>,
    passphrase: Option<Secret>,
    kept: Option<Kept>,
}

impl Given {
    fn of(resolved: &Resolved) -> Result<Self, ConnectError> {
        let mut given = Self {
            password: resolved.password.clone(),
            passphrase: resolved.identities.passphrase.clone(),
            kept: None,
        };
        let Some(stored) = &resolved.stored else {
            return Ok(given);
        };
        let secrets = stored.seal.unseal().map_err(|why| {
            let what = format!(
                "{}: the credential '{}' cannot be opened: {why}",
                resolved.label(),
                stored.name
            );
            ConnectError::new(Unreachable::Credential, what)
        })?;
        given.passphrase = given.passphrase.or(secrets.passphrase);
        if !resolved.is_jump {
            given.password = given.password.or(secrets.password);
        }
        given.kept = secrets.key.map(|key| Kept {
            name: format!("of credential '{}'", stored.name),
            key,
            certificate: secrets.certificate,
        });
        Ok(given)
    }
}

/// How a login ended.
enum End {
    In,
    Refused,
    /// The host asked something that nobody can answer.
    Asked(String),
    Gone,
}

/// What the host said to one try.
enum Answer {
    In,
    /// Not enough yet: another way has to follow.
    Partly,
    No,
    Asked(String),
    Gone,
}

struct Attempt<'a> {
    handle: &'a mut Handle<ClientHandler>,
    resolved: &'a Resolved,
    given: Given,
    offers: Offers,
    /// What the host accepts; None until it has said so.
    accepted: Option<Vec<MethodKind>>,
    /// How many of the offers have been shown.
    shown: usize,
    /// Ways that have been used up.
    done: Vec<Method>,
    /// The hash for RSA signatures, once known; the inner None: the host takes SHA-1 only.
    rsa: Option<Option<HashAlg>>,
    tried: Tried,
}

impl Attempt<'_> {
    async fn run(&mut self) -> End {
        if self.next() != Some(Method::PublicKey) {
            // Without a key to show, a question costs one exchange and tells what the host accepts.
            match self.none().await {
                Answer::In => return End::In,
                Answer::Gone => return End::Gone,
                _ => {}
            }
        }
        while let Some(method) = self.next() {
            let answer = match method {
                Method::PublicKey => Box::pin(self.key()).await,
                Method::KeyboardInteractive => Box::pin(self.questions()).await,
                Method::Password => self.password().await,
            };
            match answer {
                Answer::In => return End::In,
                Answer::Gone => return End::Gone,
                Answer::Asked(prompt) => return End::Asked(prompt),
                Answer::Partly => {
                    self.tried.partly = true;
                    self.tried.password = false;
                    // Keys that were shown too early may do now; the one that did is not shown again.
                    if method != Method::PublicKey {
                        self.shown = 0;
                        self.done.push(method);
                    }
                }
                Answer::No => {}
            }
        }
        End::Refused
    }

    /// Returns the next way to try.
    fn next(&self) -> Option<Method> {
        let possible = |method: &&Method| {
            let kind = match method {
                Method::PublicKey => MethodKind::PublicKey,
                Method::KeyboardInteractive => MethodKind::KeyboardInteractive,
                Method::Password => MethodKind::Password,
            };
            let accepted = self
                .accepted
                .as_ref()
                .is_none_or(|accepted| accepted.contains(&kind));
            let able = match method {
                Method::PublicKey => self.shown < self.offers.offers.len().min(self.most_keys()),
                _ => self.given.password.is_some() && !self.done.contains(method),
            };
            accepted && able
        };
        self.resolved.methods.iter().find(possible).copied()
    }

    fn most_keys(&self) -> usize {
        if self.given.password.is_some() {
            KEYS_BEFORE_PASSWORD
        } else {
            KEYS
        }
    }

    async fn none(&mut self) -> Answer {
        match self.handle.authenticate_none(&self.resolved.user).await {
            Ok(result) => self.answer(result),
            Err(_) => Answer::Gone,
        }
    }

    /// Shows the next key.
    async fn key(&mut self) -> Answer {
        let Some(offer) = self.offers.offers.get(self.shown).cloned() else {
            return Answer::No;
        };
        self.shown += 1;
        let hash = match offer.is_rsa() {
            false => None,
            true => match self.rsa_hash().await {
                Some(hash) => Some(hash),
                None => {
                    self.tried.sha1_only = true;
                    return Answer::No;
                }
            },
        };
        let mut signing = Signing {
            source: &offer.source,
            agent: self.offers.agent.as_mut(),
            passphrase: self.given.passphrase.as_ref(),
        };
        let user = &self.resolved.user;
        let result = match offer.certificate {
            Some(certificate) => {
                self.handle
                    .authenticate_certificate_with(user, certificate, hash, &mut signing)
                    .await
            }
            None => {
                self.handle
                    .authenticate_publickey_with(user, offer.public, hash, &mut signing)
                    .await
            }
        };
        match result {
            Ok(result) => {
                self.tried.keys.push(offer.name);
                self.answer(result)
            }
            Err(SignError::Gone) => Answer::Gone,
            Err(SignError::Key(why)) => {
                self.tried.would_do.push((offer.name, why.to_string()));
                Answer::No
            }
            Err(SignError::Agent(why)) => {
                self.tried
                    .would_do
                    .push((offer.name, format!("the SSH agent did not sign ({why})")));
                Answer::No
            }
        }
    }

    /// Returns the hash for RSA signatures: the best that the host knows, never SHA-1.
    async fn rsa_hash(&mut self) -> Option<HashAlg> {
        if self.rsa.is_none() {
            let told = self.handle.best_supported_rsa_hash().await;
            self.rsa = Some(match told {
                Ok(Some(best)) => best,
                // A host that says nothing about it may still know them.
                Ok(None) | Err(_) => Some(HashAlg::Sha256),
            });
        }
        self.rsa.flatten()
    }

    async fn password(&mut self) -> Answer {
        self.done.push(Method::Password);
        let Some(password) = &self.given.password else {
            return Answer::No;
        };
        self.tried.password = true;
        match self
            .handle
            .authenticate_password(&self.resolved.user, password.expose())
            .await
        {
            Ok(result) => self.answer(result),
            Err(_) => Answer::Gone,
        }
    }

    /// Answers what the host asks, with the password.
    async fn questions(&mut self) -> Answer {
        self.done.push(Method::KeyboardInteractive);
        let started = self
            .handle
            .authenticate_keyboard_interactive_start(&self.resolved.user, None);
        let mut response = started.await;
        let mut told = false;
        for _ in 0..ROUNDS {
            match response {
                Ok(KeyboardInteractiveAuthResponse::Success) => return Answer::In,
                Ok(KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    if told {
                        self.tried.password = true;
                        // It would be the same password once more, and one more failure on the account.
                        self.done.push(Method::Password);
                    }
                    return self.answer(AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    });
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                    let answers = match self.answers(&prompts, &mut told) {
                        Ok(answers) => answers,
                        Err(prompt) => return Answer::Asked(prompt),
                    };
                    response = self
                        .handle
                        .authenticate_keyboard_interactive_respond(answers)
                        .await;
                }
                Err(_) => return Answer::Gone,
            }
        }
        Answer::Asked("one question after another".to_owned())
    }

    /// Answers one round. The password is the answer to one hidden question and no more: a second one asks
    /// for something else, such as a code.
    fn answers(&self, prompts: &[Prompt], told: &mut bool) -> Result<Vec<String>, String> {
        let mut answers = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            match &self.given.password {
                Some(password) if !prompt.echo && !*told => {
                    *told = true;
                    answers.push(password.expose().to_owned());
                }
                _ => return Err(prompt.prompt.clone()),
            }
        }
        Ok(answers)
    }

    fn answer(&mut self, result: AuthResult) -> Answer {
        match result {
            AuthResult::Success => Answer::In,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                if remaining_methods.is_empty() && !partial_success {
                    // That is how russh says that the connection has ended.
                    return Answer::Gone;
                }
                self.accepted = Some(kinds(&remaining_methods));
                if partial_success {
                    Answer::Partly
                } else {
                    Answer::No
                }
            }
        }
    }
}

fn kinds(methods: &MethodSet) -> Vec<MethodKind> {
    methods.iter().copied().collect()
}
