//! Credentials over a real socket.

use muster_model::Secret;
use muster_model::problem::Code;
use muster_model::wire::credentials::{Encoded, Held, PutCredential, PutMode};

use super::bench::api;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_credential_is_told_without_what_was_sent() {
    let api = api().await;
    for body in [
        r#"{"password_base64":"hunter2!"}"#,
        r#"{"password_base64":["hunter2"]}"#,
        r#"{"password":"hunter2"}"#,
        r#"{"hunter2":1}"#,
        r#"{"mode":"hunter2"}"#,
        r#"{"forget":["hunter2"]}"#,
        r#"{"password_base64":"hunter2"#,
        r#"{"key_base64":"aHVudGVyMg=="}"#,
        r#"{"password_base64":"aHVudGVyMgo="}"#,
        r#"hunter2"#,
    ] {
        let request = format!(
            "PUT /api/v1/credentials/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = api.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 422"), "{body}: {answer}");
        assert!(!answer.contains("hunter2"), "{body}: {answer}");
    }
    assert_eq!(api.client.credentials().await.expect("none"), []);
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_kept_changed_and_removed_and_never_shown() {
    let api = api().await;
    let client = &api.client;
    let name = "web".parse().expect("a name");
    let secret = |text: &str| Some(Encoded(Secret::new(text.to_owned())));
    let add = PutCredential {
        mode: PutMode::Add,
        user: Some("deploy".to_owned()),
        password_base64: secret("hunter2"),
        passphrase_base64: secret("open"),
        ..PutCredential::default()
    };
    let kept = client.put_credential(&name, &add).await.expect("kept");
    assert_eq!(kept.holds, [Held::Passphrase, Held::Password]);
    let again = client.put_credential(&name, &add).await.expect_err("it is there");
    assert_eq!(again.code, Code::AlreadyExists);
    let change = PutCredential {
        mode: PutMode::Change,
        sudo_password_base64: secret("hunter3"),
        forget: vec![Held::Passphrase],
        ..PutCredential::default()
    };
    let changed = client.put_credential(&name, &change).await.expect("changed");
    assert_eq!(changed.holds, [Held::Password, Held::SudoPassword]);
    assert_eq!(changed.user.as_deref(), Some("deploy"));
    assert!(changed.changed_at > kept.changed_at && changed.created_at == kept.created_at);
    let nothing = PutCredential {
        mode: PutMode::Change,
        forget: vec![Held::Password, Held::SudoPassword],
        ..PutCredential::default()
    };
    let problem = client.put_credential(&name, &nothing).await.expect_err("empty");
    assert_eq!(problem.code, Code::InvalidRequest);
    let other = "db".parse().expect("a name");
    let problem = client.put_credential(&other, &change).await.expect_err("missing");
    assert_eq!(problem.code, Code::UnknownCredential);
    assert_eq!(client.credentials().await.expect("all"), [changed]);
    assert_eq!(client.rekey().await.expect("a new key").resealed, 1);
    client.remove_credential(&name, false).await.expect("removed");
    let problem = client.credential(&name).await.expect_err("gone");
    assert_eq!(problem.code, Code::UnknownCredential);
    api.connected.close().await;
}
