//! The OpenAPI document: what the routes do not say themselves.

use muster_model::Problem;
use utoipa::PartialSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Content, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder,
};

/// Returns the OpenAPI document of the API, as it stands in `docs/reference/openapi.json`.
///
/// # Errors
///
/// Where it cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    let (_, document) = super::routes().split_for_parts();
    finish(document).to_pretty_json().map(|text| text + "\n")
}

/// Returns the document before the routes are in it.
pub(super) fn head() -> OpenApi {
    let mut license = License::new("Apache-2.0 OR MIT");
    license.identifier = Some("Apache-2.0 OR MIT".to_owned());
    let info = InfoBuilder::new()
        .title("Muster")
        .version(format!("{}", muster_model::wire::PROTOCOL))
        .description(Some(
            "Run commands on many machines at once. Every error is a problem detail (RFC 9457). A client may \
             send the header `muster-protocol` with the version above: another one is answered with 426. \
             Fields that are not described here are refused.",
        ))
        .license(Some(license))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// Adds what every operation answers when it cannot do what it was asked.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    for (name, schema) in [
        ("Problem", Problem::schema()),
        ("Code", muster_model::problem::Code::schema()),
    ] {
        components.schemas.insert(name.to_owned(), schema);
    }
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), RefOr::T(problem()));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}

fn problem() -> Response {
    ResponseBuilder::new()
        .description("What was wrong, and what would be right.")
        .content(
            "application/problem+json",
            Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem")))),
        )
        .build()
}
