//! Times the small pieces of work whose instructions `cargo xtask instructions` guards:
//!
//! ```text
//! cargo bench -p muster-cases --bench micro
//! cargo bench -p muster-cases --bench micro -- pattern     # cases with this in their names
//! ```

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for name in muster_cases::NAMES {
        if let Some(mut case) = muster_cases::find(name) {
            criterion.bench_function(name, |bencher| bencher.iter(&mut case.run));
        }
    }
    criterion.final_summary();
}
