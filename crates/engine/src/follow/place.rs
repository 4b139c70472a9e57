//! Event ids: where a reader left off.

use muster_model::Problem;
use muster_model::problem::Code;

/// Where a reader left off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Feed { epoch: String, entry: u64, offset: u64 },
    Done { index: u32, attempt: u32, offset: u64 },
    Walk,
    End,
}

/// Reads an event id.
pub(super) fn parse_place(text: &str) -> Result<Place, Problem> {
    let wrong = || {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
        Problem::new(
            Code::InvalidRequest,
            format!("'{shown}' is not an event id of this API"),
        )
        .hint("send the `id` of the last event as it came, or none to begin anew")
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        ["end"] => Ok(Place::End),
        [_, "walk"] => Ok(Place::Walk),
        ["d", index, attempt, offset] => Ok(Place::Done {
            index: index.parse().map_err(|_| wrong())?,
            attempt: attempt.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        }),
        [epoch, entry, offset] => Ok(Place::Feed {
            epoch: (*epoch).to_owned(),
            entry: entry.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_read_back() {
        assert_eq!(
            parse_place("abc-12-0"),
            Ok(Place::Feed {
                epoch: "abc".into(),
                entry: 12,
                offset: 0
            })
        );
        assert_eq!(
            parse_place("d-3-1-99"),
            Ok(Place::Done {
                index: 3,
                attempt: 1,
                offset: 99
            })
        );
        assert_eq!(parse_place("abc-walk"), Ok(Place::Walk));
        assert_eq!(parse_place("end"), Ok(Place::End));
        for text in ["", "x", "a-b-c", "d-1-x-2", "a-1", "1-2-3-4-5"] {
            assert!(parse_place(text).is_err(), "{text}");
        }
    }
}
