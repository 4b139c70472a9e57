//! Who may depend on whom: the allowed edges as a table, compared with what the manifests say.
//!
//! Edges of the product (normal and build) and of its tests are apart, because a test may stand on more than
//! what it tests may.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::{Report, root};

/// A crate of ours and what it may depend on.
struct Layer {
    name: &'static str,
    /// In the product.
    normal: &'static [&'static str],
    /// In its tests, besides.
    tests: &'static [&'static str],
}

const ROOM: &[&str] = &["muster-model", "muster-runtime"];
const TESTKIT: &[&str] = &["muster-testkit"];
/// Tests with benchmarks among them.
const BENCHES: &[&str] = &["muster-testkit", "muster-bench", "muster-cases"];
const EVERYTHING: &[&str] = &[
    "muster-model",
    "muster-runtime",
    "muster-transport",
    "muster-store",
    "muster-queue",
    "muster-cache",
    "muster-files",
    "muster-engine",
    "muster-server",
    "muster-agent",
    "muster-client",
];

/// DESIGN section 1 and STYLE section 2, as data. A new crate is written down here first.
const LAYERS: &[Layer] = &[
    Layer {
        name: "muster-model",
        normal: &[],
        tests: &[],
    },
    Layer {
        name: "muster-runtime",
        normal: &["muster-model"],
        tests: TESTKIT,
    },
    Layer {
        name: "muster-transport",
        normal: ROOM,
        tests: TESTKIT,
    },
    Layer {
        name: "muster-store",
        normal: ROOM,
        tests: BENCHES,
    },
    Layer {
        name: "muster-queue",
        normal: ROOM,
        tests: TESTKIT,
    },
    Layer {
        name: "muster-cache",
        normal: ROOM,
        tests: TESTKIT,
    },
    Layer {
        name: "muster-files",
        normal: ROOM,
        tests: TESTKIT,
    },
    Layer {
        name: "muster-engine",
        normal: &[
            "muster-model",
            "muster-runtime",
            "muster-transport",
            "muster-store",
            "muster-queue",
            "muster-cache",
            "muster-files",
        ],
        tests: BENCHES,
    },
    Layer {
        name: "muster-server",
        normal: &["muster-model", "muster-runtime", "muster-files", "muster-engine"],
        // Its tests serve a real engine on the embedded rooms, and ask it through the typed client.
        tests: &[
            "muster-testkit",
            "muster-transport",
            "muster-store",
            "muster-queue",
            "muster-cache",
            "muster-client",
        ],
    },
    Layer {
        name: "muster-agent",
        normal: &["muster-model", "muster-runtime", "muster-transport"],
        tests: TESTKIT,
    },
    Layer {
        name: "muster-client",
        normal: &["muster-model"],
        tests: TESTKIT,
    },
    Layer {
        name: "muster",
        normal: EVERYTHING,
        tests: BENCHES,
    },
    Layer {
        // What fuzz targets check: nothing stands on it.
        name: "muster-fuzzing",
        normal: &["muster-model", "muster-transport", "muster-client"],
        tests: &[],
    },
    Layer {
        name: "muster-testkit",
        normal: &[],
        tests: &[],
    },
    Layer {
        name: "muster-bench",
        normal: &[],
        tests: &[],
    },
    // What instruction counts are taken of: it builds with the model alone.
    Layer {
        name: "muster-cases",
        normal: &["muster-model"],
        tests: &[],
    },
    Layer {
        name: "xtask",
        normal: &[],
        tests: &[],
    },
];

/// Crates of others that have one home each (or two), in the product.
const OWNERS: &[(&str, &[&str])] = &[
    ("axum", &["muster-server"]),
    ("chacha20poly1305", &["muster-engine"]),
    ("clap", &["muster"]),
    ("clap_complete", &["muster"]),
    ("clap_mangen", &["muster"]),
    ("etcetera", &["muster"]),
    ("hyper", &["muster-client", "muster-server"]),
    ("indicatif", &["muster"]),
    ("lapin", &["muster-queue"]),
    ("memcache", &["muster-cache"]),
    ("process-wrap", &["muster-transport"]),
    ("redis", &["muster-cache"]),
    ("prometheus-client", &["muster-runtime"]),
    ("opentelemetry", &["muster", "muster-runtime"]),
    ("opentelemetry-otlp", &["muster"]),
    ("opentelemetry_sdk", &["muster"]),
    ("reedline", &["muster"]),
    ("reqwest", &["muster"]),
    ("rpassword", &["muster"]),
    ("russh", &["muster-transport"]),
    ("russh-sftp", &["muster-transport"]),
    ("sea-orm", &["muster-store"]),
    ("sea-orm-migration", &["muster-store"]),
    ("sqlx", &["muster-store"]),
    ("ssh2-config", &["muster-transport"]),
    ("toml", &["muster"]),
    ("utoipa", &["muster-model", "muster-server"]),
    ("utoipa-axum", &["muster-server"]),
];

/// Crates that do input and output or run tasks: never in the model.
const NOT_IN_MODEL: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures-util",
    "async-trait",
    "nix",
    "hyper",
    "tempfile",
];

/// The feature that lets tests end a process at a named point.
const CRASH_POINTS: &str = "crash-points";

/// One line of a manifest: `from` depends on `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    tests: bool,
}

/// Compares the workspace with the tables.
pub(crate) fn problems() -> Result<Report, cargo_metadata::Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let packages = metadata.workspace_packages();
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let edges: Vec<Edge<'_>> = packages.iter().flat_map(|package| edges_of(package)).collect();
    let features = packages.iter().flat_map(|package| turned_on(package));
    let mut problems = compare(&names, &edges);
    problems.extend(features.filter_map(|(place, feature)| refuse_feature(&place, &feature)));
    Ok(Report {
        problems,
        remarks: Vec::new(),
    })
}

fn edges_of(package: &Package) -> impl Iterator<Item = Edge<'_>> {
    package.dependencies.iter().map(|dependency| Edge {
        from: package.name.as_str(),
        to: &dependency.name,
        tests: dependency.kind == DependencyKind::Development,
    })
}

/// The features that a manifest turns on, each with the place in which it does: in a dependency's line, or in
/// another feature.
fn turned_on(package: &Package) -> Vec<(String, String)> {
    let name = &package.name;
    let by_dependencies = package.dependencies.iter().flat_map(|dependency| {
        let features = dependency.features.iter();
        features.map(move |feature| (format!("{name} -> {}", dependency.name), feature.clone()))
    });
    let by_features = package.features.iter().flat_map(|(by, features)| {
        let features = features.iter();
        features.map(move |feature| (format!("{name}: feature {by}"), feature.clone()))
    });
    by_dependencies.chain(by_features).collect()
}

/// Says why a feature must not be turned on there; None where it may. A program that can be told to die is for tests
/// alone: only the feature of the same name hands it on.
fn refuse_feature(place: &str, feature: &str) -> Option<String> {
    let is_refused =
        feature.ends_with(CRASH_POINTS) && !place.ends_with(&format!(": feature {CRASH_POINTS}"));
    is_refused
        .then(|| format!("{place}: turns on {feature}, which is for tests alone: leave it to --all-features"))
}

fn compare(names: &[&str], edges: &[Edge<'_>]) -> Vec<String> {
    let unknown = names
        .iter()
        .filter(|name| layer(name).is_none())
        .map(|name| format!("{name}: not in the table of layers: write it into xtask/src/layers.rs"));
    unknown
        .chain(edges.iter().filter_map(|edge| refuse(*edge)))
        .collect()
}

fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.name == name)
}

/// Says why an edge is not allowed; None where it is.
fn refuse(edge: Edge<'_>) -> Option<String> {
    let Edge { from, to, tests } = edge;
    let from_layer = layer(from)?;
    if layer(to).is_some() {
        let allowed = from_layer.normal.contains(&to) || (tests && from_layer.tests.contains(&to));
        if allowed {
            return None;
        }
        if !tests && BENCHES.contains(&to) {
            return Some(format!(
                "{from} -> {to}: only tests and benchmarks stand on it: make it a dev-dependency"
            ));
        }
        let whose = if tests { "the tests of " } else { "" };
        let may: Vec<&str> = from_layer
            .normal
            .iter()
            .chain(if tests { from_layer.tests } else { &[] })
            .copied()
            .collect();
        let may = if may.is_empty() {
            "nothing of ours".to_owned()
        } else {
            may.join(", ")
        };
        return Some(format!("{from} -> {to}: {whose}{from} may depend on {may}"));
    }
    if tests {
        return None;
    }
    if from == "muster-model" && NOT_IN_MODEL.contains(&to) {
        return Some(format!(
            "{from} -> {to}: the model is pure: no input or output, no tasks"
        ));
    }
    let (_, owners) = OWNERS.iter().find(|(name, _)| *name == to)?;
    (!owners.contains(&from))
        .then(|| format!("{from} -> {to}: {to} belongs to {} alone", owners.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &'static str, to: &'static str) -> Edge<'static> {
        Edge {
            from,
            to,
            tests: false,
        }
    }

    #[test]
    fn the_workspace_keeps_its_layers() {
        let report = problems().expect("cargo metadata answers");
        assert_eq!(report.problems, Vec::<String>::new());
    }

    #[test]
    fn rooms_never_see_each_other() {
        for from in ["muster-transport", "muster-store", "muster-queue", "muster-cache"] {
            for to in [
                "muster-transport",
                "muster-store",
                "muster-queue",
                "muster-cache",
                "muster-engine",
            ] {
                assert!(refuse(edge(from, to)).is_some(), "{from} -> {to}");
                assert!(
                    refuse(Edge {
                        tests: true,
                        ..edge(from, to)
                    })
                    .is_some(),
                    "{from} -> {to}"
                );
            }
            assert_eq!(refuse(edge(from, "muster-model")), None);
        }
    }

    #[test]
    fn imports_point_downwards_only() {
        for (from, to) in [
            ("muster-model", "muster-runtime"),
            ("muster-runtime", "muster-engine"),
            ("muster-engine", "muster-server"),
            ("muster-server", "muster-store"),
            ("muster-client", "muster-runtime"),
        ] {
            assert!(refuse(edge(from, to)).is_some(), "{from} -> {to}");
        }
        assert_eq!(refuse(edge("muster", "muster-store")), None);
    }

    #[test]
    fn the_testkit_is_for_tests_alone() {
        let product = edge("muster-engine", "muster-testkit");
        assert!(refuse(product).is_some_and(|why| why.contains("dev-dependency")));
        assert_eq!(
            refuse(Edge {
                tests: true,
                ..product
            }),
            None
        );
    }

    #[test]
    fn engines_of_others_have_one_owner_and_the_model_is_pure() {
        let why = refuse(edge("muster-engine", "sqlx"));
        assert_eq!(
            why.as_deref(),
            Some("muster-engine -> sqlx: sqlx belongs to muster-store alone")
        );
        assert_eq!(refuse(edge("muster-store", "sqlx")), None);
        assert!(refuse(edge("muster-model", "tokio")).is_some());
        assert_eq!(refuse(edge("muster-engine", "tokio")), None);
    }

    #[test]
    fn a_crate_that_nobody_wrote_down_is_named() {
        let found = compare(&["muster-model", "muster-helpers"], &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("muster-helpers: not in the table"));
    }

    #[test]
    fn the_table_has_no_circle() {
        let mut known: Vec<&str> = Vec::new();
        while known.len() < LAYERS.len() {
            let before = known.len();
            for layer in LAYERS {
                if !known.contains(&layer.name) && layer.normal.iter().all(|to| known.contains(to)) {
                    known.push(layer.name);
                }
            }
            assert!(known.len() > before, "a circle among those beyond {known:?}");
        }
    }

    #[test]
    fn only_the_feature_of_the_same_name_hands_crash_points_on() {
        for (place, is_refused) in [
            ("muster: feature crash-points", false),
            ("muster: feature default", true),
            ("muster: feature all", true),
            ("muster-engine -> muster-runtime", true),
        ] {
            let refused = refuse_feature(place, "muster-runtime/crash-points");
            assert_eq!(refused.is_some(), is_refused, "{place}");
        }
        assert_eq!(refuse_feature("muster -> tokio", "net"), None);
    }
}
