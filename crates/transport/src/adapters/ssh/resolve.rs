//! From an endpoint to everything that decides a connection: what was asked for, `ssh_config`, defaults.

use std::path::PathBuf;
use std::sync::{Arc, Once};

use muster_model::{Endpoint, Reach, Target, Unreachable};

use super::algorithms::Lists;
use super::config::{
    AddressFamily, Asked, Disk, Options, Proxy, Root, Source, StrictHostKeyChecking, Tokens, evaluate,
    expand, expand_path,
};
use super::known_hosts::Names;
pub(crate) use super::resolved::{Identities, Method, Resolved, Trust};
use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// The most jump hosts on one way.
const JUMPS: usize = 8;

/// Works out how to reach a host. Reads `ssh_config` (again only when it has changed), and nothing else.
pub(crate) fn resolve(
    settings: &Settings,
    endpoint: &Endpoint,
    access: &Access,
) -> Result<Resolved, ConnectError> {
    resolve_from(&Disk, settings, endpoint, access)
}

/// [`resolve`] over any files.
pub(super) fn resolve_from(
    source: &dyn Source,
    settings: &Settings,
    endpoint: &Endpoint,
    access: &Access,
) -> Result<Resolved, ConnectError> {
    let resolver = Resolver {
        source,
        roots: roots(settings, access),
        settings,
        access,
    };
    let wanted = Wanted {
        alias: &endpoint.host,
        address: endpoint.address.as_deref(),
        user: endpoint.user.as_deref().or(access.user.as_deref()),
        port: endpoint.port,
        is_jump: false,
    };
    let mut way = vec![endpoint.host.clone()];
    resolver.host(wanted, None, &mut way).map_err(|what| {
        ConnectError::new(
            Unreachable::Settings,
            format!("the SSH settings for {} cannot be used: {what}", endpoint.host),
        )
    })
}

fn roots(settings: &Settings, access: &Access) -> Vec<Root> {
    let dot_ssh = settings.home.join(".ssh");
    match &access.ssh_config {
        Some(path) => vec![Root {
            path: path.clone(),
            folder: dot_ssh,
            required: true,
            private: false,
        }],
        None => vec![
            Root {
                path: dot_ssh.join("config"),
                folder: dot_ssh,
                required: false,
                private: true,
            },
            Root {
                path: "/etc/ssh/ssh_config".into(),
                folder: "/etc/ssh".into(),
                required: false,
                private: false,
            },
        ],
    }
}

/// A host on the way.
struct Wanted<'a> {
    alias: &'a str,
    address: Option<&'a str>,
    user: Option<&'a str>,
    port: Option<u16>,
    is_jump: bool,
}

struct Resolver<'a> {
    source: &'a dyn Source,
    roots: Vec<Root>,
    settings: &'a Settings,
    access: &'a Access,
}

impl Resolver<'_> {
    /// Resolves a host. `through` is the jump host before it where that is decided already; `way` holds the
    /// names of those that are being resolved.
    fn host(
        &self,
        wanted: Wanted<'_>,
        through: Option<Arc<Resolved>>,
        way: &mut Vec<String>,
    ) -> Result<Resolved, String> {
        let options = self.options(&wanted)?;
        let host = connect_to(&wanted, &options)?;
        let port = wanted.port.or(options.port).unwrap_or(22);
        let user = wanted
            .user
            .or(options.user.as_deref())
            .unwrap_or(&self.settings.user)
            .to_owned();
        let names = names(&wanted, &host, port, options.host_key_alias.as_deref());
        let tokens = Tokens {
            host: Some(&host),
            original: Some(wanted.alias),
            key_name: Some(&names.principal),
            port: Some(port),
            user: Some(&user),
            local_user: Some(&self.settings.user),
            home: Some(&self.settings.home),
        };
        let jump = match through {
            Some(jump) => Some(jump),
            None => self.jump(&options, &wanted, port, &tokens, way)?,
        };
        Ok(Resolved {
            trust: self.trust(&options, &names, &tokens)?,
            identities: self.identities(&options, &tokens)?,
            alias: wanted.alias.to_owned(),
            family: options.address_family.unwrap_or(AddressFamily::Any),
            methods: methods(&options)?,
            password: self.access.password.clone(),
            stored: self.access.stored.clone(),
            is_jump: wanted.is_jump,
            algorithms: Lists {
                kex: options.kex,
                ciphers: options.ciphers,
                macs: options.macs,
                host_keys: options.host_key_algorithms,
            },
            connect_timeout: options.connect_timeout.flatten().filter(|limit| !limit.is_zero()),
            alive_interval: options
                .alive_interval
                .filter(|interval| !interval.is_zero())
                .unwrap_or(self.settings.keepalive),
            alive_count: options.alive_count.unwrap_or(3).max(1),
            jump,
            host,
            port,
            user,
        })
    }

    /// Returns what `ssh_config` says about a host.
    fn options(&self, wanted: &Wanted<'_>) -> Result<Options, String> {
        let asked = Asked {
            host: wanted.alias,
            user: wanted.user,
            local_user: &self.settings.user,
            home: &self.settings.home,
        };
        let options = evaluate(self.source, &self.roots, asked).map_err(|problem| problem.0)?;
        match &options.refuse {
            Some(why) => Err(format!("ssh_config refuses it: {why}")),
            None => Ok(options),
        }
    }

    /// Resolves the jump hosts before a host: each is reached through the one before it, the first by its
    /// own way, as `ssh -J` does.
    fn jump(
        &self,
        options: &Options,
        wanted: &Wanted<'_>,
        port: u16,
        tokens: &Tokens<'_>,
        way: &mut Vec<String>,
    ) -> Result<Option<Arc<Resolved>>, String> {
        let list = match &options.proxy {
            None | Some(Proxy::NoJump | Proxy::Direct) => return Ok(None),
            Some(Proxy::Command) => {
                return Err(
                    "ProxyCommand is not supported: write ProxyJump with the host to go through".to_owned(),
                );
            }
            Some(Proxy::Jump(list)) => expand(list, tokens)?,
        };
        let mut before: Option<Arc<Resolved>> = None;
        for (place, text) in list.split(',').map(str::trim).enumerate() {
            let target: Target = text.parse().map_err(|error| format!("ProxyJump: {error}"))?;
            if !matches!(target.reach, None | Some(Reach::Ssh | Reach::Local)) {
                return Err(format!("ProxyJump: '{text}' is not reached by SSH"));
            }
            let alias = target.host.as_str();
            let itself =
                alias.eq_ignore_ascii_case(wanted.alias) && target.port.is_none_or(|own| own == port);
            if place == 0 && itself {
                // `Host *` with a ProxyJump is meant for all hosts but the jump host itself.
                return Ok(None);
            }
            if way.iter().any(|name| name.eq_ignore_ascii_case(alias)) {
                return Err(format!(
                    "ProxyJump goes in circles: {} -> {alias}",
                    way.join(" -> ")
                ));
            }
            if way.len() > JUMPS {
                return Err(format!("ProxyJump goes through more than {JUMPS} hosts"));
            }
            way.push(alias.to_owned());
            let jump = Wanted {
                alias,
                address: None,
                user: target.user.as_deref(),
                port: target.port,
                is_jump: true,
            };
            before = Some(Arc::new(self.host(jump, before.take(), way)?));
        }
        Ok(before)
    }

    fn trust(&self, options: &Options, names: &Names, tokens: &Tokens<'_>) -> Result<Trust, String> {
        let home = &self.settings.home;
        let paths = |given: &Option<Vec<String>>, usual: [PathBuf; 2]| match given {
            None => Ok(usual.to_vec()),
            Some(values) => values
                .iter()
                .filter(|value| !value.eq_ignore_ascii_case("none"))
                .map(|value| expand_path(value, tokens, home))
                .collect(),
        };
        let strict = options.strict.unwrap_or(StrictHostKeyChecking::Yes);
        if strict == StrictHostKeyChecking::Off {
            // Once is enough: a task may have thousands of hosts.
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                tracing::warn!(
                    host = tokens.original,
                    "StrictHostKeyChecking no is read as accept-new: a host's key is always checked"
                );
            });
        }
        Ok(Trust {
            names: names.clone(),
            user_files: paths(
                &options.user_known_hosts,
                [home.join(".ssh/known_hosts"), home.join(".ssh/known_hosts2")],
            )?,
            global_files: paths(
                &options.global_known_hosts,
                [
                    "/etc/ssh/ssh_known_hosts".into(),
                    "/etc/ssh/ssh_known_hosts2".into(),
                ],
            )?,
            revoked: match options.revoked_host_keys.as_deref() {
                None => None,
                Some(value) if value.eq_ignore_ascii_case("none") => None,
                Some(value) => Some(expand_path(value, tokens, home)?),
            },
            accept_new: self.access.accept_new || strict != StrictHostKeyChecking::Yes,
        })
    }

    fn identities(&self, options: &Options, tokens: &Tokens<'_>) -> Result<Identities, String> {
        let home = &self.settings.home;
        let paths = |values: &[String]| -> Result<Vec<PathBuf>, String> {
            let named = values.iter().filter(|value| !value.eq_ignore_ascii_case("none"));
            named.map(|value| expand_path(value, tokens, home)).collect()
        };
        let usual = options.identity_files.is_empty() && self.access.identities.is_empty();
        let files = if usual {
            let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
            names.iter().map(|name| home.join(".ssh").join(name)).collect()
        } else {
            paths(&options.identity_files)?
        };
        let agent = match options.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => self.access.agent_socket.clone(),
            Some(value) if value.eq_ignore_ascii_case("none") => None,
            Some(value) if value.starts_with('$') => {
                return Err(format!(
                    "IdentityAgent '{value}': environment variables are not replaced: write a path, \
                     SSH_AUTH_SOCK or none"
                ));
            }
            Some(value) => Some(expand_path(value, tokens, home)?),
        };
        Ok(Identities {
            explicit: self
                .access
                .identities
                .iter()
                .map(|path| home.join(path))
                .collect(),
            files,
            usual,
            certificates: paths(&options.certificate_files)?,
            only: options.identities_only.unwrap_or(false),
            agent,
            passphrase: self.access.passphrase.clone(),
        })
    }
}

/// Returns the name or address to connect to.
fn connect_to(wanted: &Wanted<'_>, options: &Options) -> Result<String, String> {
    match (wanted.address, &options.host_name) {
        (Some(address), _) => Ok(address.to_owned()),
        (None, Some(name)) => expand(name, &Tokens::host_only(wanted.alias)),
        (None, None) => Ok(wanted.alias.to_owned()),
    }
}

/// Returns the names under which a host may be known, as OpenSSH forms them.
fn names(wanted: &Wanted<'_>, host: &str, port: u16, alias: Option<&str>) -> Names {
    if let Some(alias) = alias {
        // An alias stands for one key, whatever the port.
        let alias = alias.to_lowercase();
        return Names {
            names: vec![alias.clone()],
            without_port: Vec::new(),
            principal: alias,
        };
    }
    // With an address from the inventory, the host is known by its name, or as one would have reached it.
    let plain: Vec<String> = match wanted.address {
        Some(address) if address != wanted.alias => vec![wanted.alias.to_lowercase(), address.to_lowercase()],
        _ => vec![host.to_lowercase()],
    };
    let principal = plain.first().cloned().unwrap_or_default();
    if port == 22 {
        return Names {
            names: plain,
            without_port: Vec::new(),
            principal,
        };
    }
    Names {
        names: plain.iter().map(|name| format!("[{name}]:{port}")).collect(),
        without_port: plain,
        principal,
    }
}

fn methods(options: &Options) -> Result<Vec<Method>, String> {
    let on = |method: &Method| {
        let option = match method {
            Method::PublicKey => options.pubkey,
            Method::KeyboardInteractive => options.keyboard_interactive,
            Method::Password => options.password,
        };
        option.unwrap_or(true)
    };
    let all = [Method::PublicKey, Method::KeyboardInteractive, Method::Password];
    let named: Vec<Method> = match &options.preferred_authentications {
        None => all.to_vec(),
        Some(names) => names
            .iter()
            .filter_map(|name| match name.as_str() {
                "publickey" => Some(Method::PublicKey),
                "keyboard-interactive" => Some(Method::KeyboardInteractive),
                "password" => Some(Method::Password),
                _ => None,
            })
            .collect(),
    };
    let methods: Vec<Method> = named.into_iter().filter(on).collect();
    if methods.is_empty() {
        return Err(
            "PreferredAuthentications and its relatives leave no way to log in: publickey, \
             keyboard-interactive and password are known"
                .to_owned(),
        );
    }
    Ok(methods)
}

#[cfg(test)]
mod tests;
