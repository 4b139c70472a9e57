//! Connections by TLS: both versions of HTTP, certificates that are replaced, and a client that does not come to the point.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use muster_model::problem::Code;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::sockets::{Server, hear, say, start};
use crate::listener::Listener;
use crate::tls::Certificate;

/// The two files of a certificate, in a folder.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        files.renew();
        files
    }

    /// Puts another certificate there, as a program does that renews them: each file at once.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        self.put("key", &made.signing_key.serialize_pem());
        self.put("chain", &made.cert.pem());
    }

    fn put(&self, name: &str, text: &str) {
        let fresh = self.path("fresh");
        std::fs::write(&fresh, text).expect("a file");
        std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o600)).expect("a mode");
        std::fs::rename(fresh, self.path(name)).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Arc<Certificate> {
        Certificate::load(&self.path("chain"), &self.path("key")).expect("a certificate")
    }
}

async fn serve(files: &Files) -> (SocketAddr, Server, Arc<Certificate>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let certificate = files.load();
    let server = start(Listener::Tls(listener, Arc::clone(&certificate)));
    (address, server, certificate)
}

/// Connects as a client that trusts the certificate of a file.
async fn connect(
    address: SocketAddr,
    trusted: &Path,
    speaks: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).expect("PEM"))
        .expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![speaks.to_vec()];
    let stream = TcpStream::connect(address).await.expect("a server");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn question(origin: &str) -> Request<Body> {
    Request::builder()
        .uri("https://localhost/whose")
        .header("authorization", "Bearer sesame")
        .header("origin", origin)
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let files = Files::new();
    let (address, server, _) = serve(&files).await;
    let mut client = connect(address, &files.path("chain"), b"http/1.1")
        .await
        .expect("secured");
    say(
        &mut client,
        "GET /whose HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer sesame\r\n\r\n",
    )
    .await;
    let answer = hear(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let client = connect(address, &files.path("chain"), b"h2")
        .await
        .expect("secured");
    let (mut asks, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(client))
        .await
        .expect("HTTP/2");
    let questions = async {
        // More than are answered beside each other, once the client has heard how many that are.
        for count in [1, 200] {
            let answers = futures_util::future::join_all((0..count).map(|_| {
                let answer = asks.send_request(question("https://localhost"));
                async move { answer.await.expect("an answer") }
            }))
            .await;
            for answer in answers {
                assert_eq!(answer.status(), StatusCode::OK);
            }
        }
        // The page of another site has a browser ask.
        let answer: Response<Incoming> = asks
            .send_request(question("https://elsewhere.example"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert!(
            String::from_utf8_lossy(&body).contains("another site"),
            "{body:?}"
        );
        let mut stranger = question("https://localhost");
        stranger
            .headers_mut()
            .insert("authorization", "Bearer barley".parse().expect("a value"));
        let answer = asks.send_request(stranger).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        drop(asks);
    };
    let (ended, ()) = tokio::join!(connection, questions);
    ended.expect("an orderly end");
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn without_tls_nobody_is_answered() {
    let files = Files::new();
    let (address, server, _) = serve(&files).await;
    let mut client = TcpStream::connect(address).await.expect("a server");
    say(
        &mut client,
        "GET /whose HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sesame\r\n\r\n",
    )
    .await;
    let mut answer = Vec::new();
    let heard = client.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(10), heard)
        .await
        .expect("it hangs up");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_to_who_comes_then() {
    let files = Files::new();
    let (address, server, certificate) = serve(&files).await;
    let first = certificate.fingerprint();
    std::fs::copy(files.path("chain"), files.path("first")).expect("a copy");

    // Half of it is there, and then the whole.
    let mut complained = None;
    let key = std::fs::read_to_string(files.path("key")).expect("a key");
    files.renew();
    let renewed = std::fs::read_to_string(files.path("key")).expect("a key");
    files.put("key", &key);
    certificate.look(&mut complained);
    assert_eq!(certificate.fingerprint(), first);
    assert!(complained.is_some());
    connect(address, &files.path("first"), b"http/1.1")
        .await
        .expect("the one before");
    files.put("key", &renewed);
    certificate.look(&mut complained);
    assert_ne!(certificate.fingerprint(), first);
    connect(address, &files.path("chain"), b"http/1.1")
        .await
        .expect("the new one");
    connect(address, &files.path("first"), b"http/1.1")
        .await
        .expect_err("the one before");

    // Gone for a moment, nothing changes.
    let second = certificate.fingerprint();
    std::fs::remove_file(files.path("chain")).expect("no file");
    certificate.look(&mut complained);
    assert_eq!(certificate.fingerprint(), second);
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

/// One that has connected and says nothing holds up nobody who ends the server.
#[tokio::test]
async fn a_client_that_does_not_secure_its_connection_holds_up_no_end() {
    let files = Files::new();
    let (address, server, _) = serve(&files).await;
    let _silent = TcpStream::connect(address).await.expect("a server");
    server.until_connections(1).await;
    assert_eq!(server.tasks.close(Duration::from_secs(5)).await, 0);
}

#[test]
fn what_is_no_certificate_is_named() {
    let files = Files::new();
    let refused = |chain: &str, key: &str| {
        let problem = Certificate::load(&files.path(chain), &files.path(key)).expect_err("refused");
        assert_eq!(problem.code, Code::InvalidConfig);
        problem
    };
    let problem = refused("none", "key");
    assert!(problem.detail.contains("none: No such file"), "{problem}");
    files.put("words", "not PEM at all\n");
    let problem = refused("words", "key");
    assert!(problem.detail.contains("no certificate is in it"), "{problem}");
    let problem = refused("chain", "words");
    assert!(problem.detail.contains("no private key is in it"), "{problem}");
    let another = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    files.put("another", &another);
    let problem = refused("chain", "another");
    assert!(problem.detail.contains("do not belong together"), "{problem}");
    std::fs::set_permissions(files.path("key"), PermissionsExt::from_mode(0o644)).expect("a mode");
    let problem = refused("chain", "key");
    assert!(problem.detail.contains("open to every user"), "{problem}");
    assert!(
        problem
            .hint
            .as_deref()
            .is_some_and(|hint| hint.starts_with("chmod o= ")),
        "{problem}"
    );
}
