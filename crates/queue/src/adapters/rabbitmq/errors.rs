//! What RabbitMQ and the way to it say, in the port's words.

use lapin::ErrorKind as Said;
use muster_model::ErrorKind;

use crate::error::Error;

/// Translates an error of the broker or of the connection to it.
///
/// `operation` names what was done and to what, `needs` the permission that it takes.
pub(super) fn translate(operation: impl Into<String>, needs: &str, error: lapin::Error) -> Error {
    let operation = operation.into();
    let (kind, why) = classify(&error, needs);
    let operation = if why.is_empty() {
        operation
    } else {
        format!("{operation}: {why}")
    };
    Error::new(kind, operation).caused_by(error)
}

/// Returns what an error means, and what a person should know of it.
pub(super) fn classify(error: &lapin::Error, needs: &str) -> (ErrorKind, String) {
    match error.kind() {
        Said::ProtocolError(said) => broker(said.get_id(), said.get_message().as_str(), needs),
        Said::IOError(_) => (ErrorKind::Unavailable, "the connection broke".to_owned()),
        Said::MissingHeartbeatError => (
            ErrorKind::Unavailable,
            "the broker has been silent for too long".to_owned(),
        ),
        Said::InvalidConnectionState(_) | Said::InvalidChannelState(..) | Said::InvalidChannel(_) => {
            (ErrorKind::Unavailable, "the connection is gone".to_owned())
        }
        Said::ChannelsLimitReached => (
            ErrorKind::Unavailable,
            "all channels of the connection are in use: raise channel_max of the broker".to_owned(),
        ),
        Said::InvalidProtocolVersion(_) => (
            ErrorKind::Unsupported,
            "the server speaks another protocol than AMQP 0-9-1".to_owned(),
        ),
        Said::RuntimeShutdownError(_) => (ErrorKind::Cancelled, String::new()),
        _ => (ErrorKind::Internal, String::new()),
    }
}

const NO_VHOST: &str =
    "there is no such virtual host: look at the end of the URL, or make it by `rabbitmqctl add_vhost`";

/// Reads a code of AMQP with RabbitMQ's text.
fn broker(code: u16, text: &str, needs: &str) -> (ErrorKind, String) {
    let is = |part: &str| text.contains(part);
    match code {
        311 => (
            ErrorKind::TooLarge,
            "the broker takes no message of this size".to_owned(),
        ),
        320 => (
            ErrorKind::Unavailable,
            "the broker closed the connection".to_owned(),
        ),
        402 => (ErrorKind::NotFound, NO_VHOST.to_owned()),
        403 if is("Login was refused") || is("login was refused") => (
            ErrorKind::Denied,
            "the broker refuses the user or the password: look at the URL (letters with a meaning there are written \
             %40 for @ and so on) and at `rabbitmqctl list_users`"
                .to_owned(),
        ),
        403 => (
            ErrorKind::Denied,
            format!("the user lacks the permission {needs}: docs/operations/rabbitmq.md has them all"),
        ),
        404 if is("down or inaccessible") || is("home node") => (
            ErrorKind::Unavailable,
            "the node of the cluster that holds the queue is down".to_owned(),
        ),
        404 => (ErrorKind::NotFound, "it is not there".to_owned()),
        405 => (
            ErrorKind::Conflict,
            "it belongs to another connection alone".to_owned(),
        ),
        406 if is("inequivalent arg") => (ErrorKind::Conflict, difference(text)),
        406 if is("message size") => (
            ErrorKind::TooLarge,
            "the broker takes no message of this size: raise its max_message_size".to_owned(),
        ),
        406 if is("delivery acknowledgement") => (
            ErrorKind::Unavailable,
            "a delivery was not settled within the broker's consumer_timeout".to_owned(),
        ),
        406 => (
            ErrorKind::Conflict,
            "the broker's state does not allow it".to_owned(),
        ),
        506 => (
            ErrorKind::Unavailable,
            "the broker has not enough resources".to_owned(),
        ),
        530 if is("not found") => (ErrorKind::NotFound, NO_VHOST.to_owned()),
        530 if is("limit") => (
            ErrorKind::Unavailable,
            "a limit of the broker is reached".to_owned(),
        ),
        530 if is("is down") => (ErrorKind::Unavailable, "the virtual host is down".to_owned()),
        530 => (
            ErrorKind::Denied,
            "the user may not use the virtual host: rabbitmqctl set_permissions".to_owned(),
        ),
        540 => (ErrorKind::Unsupported, "the broker cannot do it".to_owned()),
        541 => (
            ErrorKind::Unavailable,
            "the broker failed: its log says why".to_owned(),
        ),
        _ => (ErrorKind::Internal, String::new()),
    }
}

/// Says what differs, from "inequivalent arg 'x' for queue 'q' in vhost 'v': received '1' but current is '2'".
fn difference(text: &str) -> String {
    let after = |mark: &str| {
        let rest = text.split_once(mark)?.1;
        let value = rest.trim_start();
        match value.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => value.split([' ', ',']).next(),
        }
    };
    let option = after("inequivalent arg");
    // Numbers stand as "the value '11' of type 'signedint'", what is missing as "none".
    let value = |mark: &str, other: &str| after(other).or_else(|| after(mark));
    let wanted = value("received", "received the value");
    let there = value("but current is", "but current is the value");
    match (option, wanted, there) {
        (Some(option), Some(wanted), Some(there)) => {
            format!("it is there with other options: '{option}' is '{there}' and not '{wanted}'")
        }
        _ => "it is there with other options".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn said(code: u16, text: &str) -> lapin::Error {
        let error = AMQPError::from_id(code, text.into()).unwrap();
        lapin::ErrorKind::ProtocolError(error).into()
    }

    /// What RabbitMQ 3.10.8 and 4 say.
    #[test]
    fn what_the_broker_says_has_a_kind_and_says_what_to_do() {
        let inequivalent = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': \
                            received the value '11' of type 'signedint' but current is the value '10' of type \
                            'signedint'";
        let missing = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': \
                       received the value '60000' of type 'signedint' but current is none";
        for (code, text, kind, part) in [
            (311, "CONTENT_TOO_LARGE", ErrorKind::TooLarge, "size"),
            (
                320,
                "CONNECTION_FORCED - broker forced connection closure",
                ErrorKind::Unavailable,
                "closed",
            ),
            (
                403,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the \
                 broker logfile.",
                ErrorKind::Denied,
                "user or the password",
            ),
            (
                403,
                "ACCESS_REFUSED - access to queue 'q' in vhost 'v' refused for user 'u'",
                ErrorKind::Denied,
                "'read' on queue 'q'",
            ),
            (
                404,
                "NOT_FOUND - no queue 'q' in vhost '/'",
                ErrorKind::NotFound,
                "not there",
            ),
            (
                404,
                "NOT_FOUND - no exchange 'e' in vhost '/'",
                ErrorKind::NotFound,
                "not there",
            ),
            (
                404,
                "NOT_FOUND - home node 'rabbit@one' of durable queue 'q' in vhost '/' is down or inaccessible",
                ErrorKind::Unavailable,
                "node",
            ),
            (
                405,
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'",
                ErrorKind::Conflict,
                "another connection",
            ),
            (
                406,
                inequivalent,
                ErrorKind::Conflict,
                "'x-max-length' is '10' and not '11'",
            ),
            (
                406,
                missing,
                ErrorKind::Conflict,
                "'x-message-ttl' is 'none' and not '60000'",
            ),
            (
                406,
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e' in vhost '/': received 'topic' but \
                 current is 'direct'",
                ErrorKind::Conflict,
                "'type' is 'direct' and not 'topic'",
            ),
            (
                406,
                "PRECONDITION_FAILED - message size 200 is larger than configured max size 100",
                ErrorKind::TooLarge,
                "max_message_size",
            ),
            (
                406,
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
                ErrorKind::Unavailable,
                "consumer_timeout",
            ),
            (
                530,
                "NOT_ALLOWED - vhost v not found",
                ErrorKind::NotFound,
                "virtual host",
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost 'v' refused for user 'u'",
                ErrorKind::Denied,
                "set_permissions",
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached",
                ErrorKind::Unavailable,
                "limit",
            ),
            (
                540,
                "NOT_IMPLEMENTED - active=false",
                ErrorKind::Unsupported,
                "cannot",
            ),
            (541, "INTERNAL_ERROR", ErrorKind::Unavailable, "log"),
        ] {
            let error = translate("do it", "'read' on queue 'q'", said(code, text));
            assert_eq!(error.kind, kind, "{text}");
            assert!(error.operation.contains(part), "{text}: {}", error.operation);
            assert!(error.source.is_some(), "the broker's own words are kept");
        }
    }

    #[test]
    fn a_connection_that_is_gone_is_unavailable() {
        let broken: lapin::Error = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        let silent: lapin::Error = Said::MissingHeartbeatError.into();
        for error in [broken, silent] {
            assert_eq!(translate("do it", "", error).kind, ErrorKind::Unavailable);
        }
    }
}
