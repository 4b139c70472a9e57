//! The OpenAPI document is what the code says, and the checked-in copy is that document.

use std::path::Path;

#[test]
fn the_document_that_is_checked_in_is_the_one_that_the_code_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let document = crate::openapi().expect("a document");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks whether to refresh its golden file"
    )]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &document).expect("a file");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == document,
        "docs/reference/openapi.json is not what the code says: run this test with UPDATE=1"
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere_and_every_operation_may_fail() {
    let text = crate::openapi().expect("a document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for piece in text.split("\"$ref\": \"#").skip(1) {
        let pointer = piece.split('"').next().expect("a reference");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() >= 17, "{}", paths.len());
    for (path, item) in paths {
        let for_watchers = ["/healthz", "/readyz", "/metrics"].contains(&path.as_str());
        assert!(path.starts_with("/api/v1/") || for_watchers, "{path}");
        for (method, operation) in item.as_object().expect("an item") {
            assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}
