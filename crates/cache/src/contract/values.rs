//! Whole values.

use bytes::Bytes;
use muster_model::ErrorKind::TooLarge;

use super::bench::{Bench, LONG, ensure, ensure_kind, pattern};
use super::case::{Outcome, list};

list!(CASES, Nothing, false:
    a_value_is_read_back_as_it_was_set,
    a_missing_value_is_none,
    setting_replaces_whatever_was_there,
    add_sets_only_what_is_missing,
    delete_tells_whether_there_was_a_value,
    get_many_keeps_the_order_of_the_keys,
    a_value_of_1_mib_is_kept_and_a_larger_one_refused,
    ping_answers,
);

list!(SHARED, Shared, false: two_processes_see_the_same_values);

async fn a_value_is_read_back_as_it_was_set(bench: Bench) -> Outcome {
    for value in [&b""[..], b"text", b"\0\xff\r\n END\r\n", b"-1"] {
        bench
            .cache
            .set("key", Bytes::copy_from_slice(value), LONG)
            .await?;
        ensure(
            bench.cache.get("key").await?.as_deref() == Some(value),
            "bytes stay bytes",
        )?;
    }
    Ok(())
}

async fn a_missing_value_is_none(bench: Bench) -> Outcome {
    bench.holds("missing", None).await?;
    ensure(
        bench.cache.range("missing", 0, 10).await?.is_none(),
        "range has none either",
    )
}

async fn setting_replaces_whatever_was_there(bench: Bench) -> Outcome {
    bench.cache.increment("counter", 5, LONG).await?;
    bench.cache.append("log", 0, "grown".into(), LONG).await?;
    bench.set("text", "text").await?;
    for key in ["counter", "log", "text"] {
        bench.set(key, "new").await?;
        bench.holds(key, Some("new")).await?;
    }
    Ok(())
}

async fn add_sets_only_what_is_missing(bench: Bench) -> Outcome {
    ensure(
        bench.cache.add("key", "first".into(), LONG).await?,
        "the first is added",
    )?;
    ensure(
        !bench.cache.add("key", "second".into(), LONG).await?,
        "the second is not",
    )?;
    bench.holds("key", Some("first")).await?;
    bench.cache.delete("key").await?;
    ensure(
        bench.cache.add("key", "third".into(), LONG).await?,
        "after a delete it is",
    )?;
    bench.holds("key", Some("third")).await
}

async fn delete_tells_whether_there_was_a_value(bench: Bench) -> Outcome {
    bench.set("key", "value").await?;
    bench.set("other", "stays").await?;
    ensure(bench.cache.delete("key").await?, "there was one")?;
    ensure(!bench.cache.delete("key").await?, "and then none")?;
    bench.holds("key", None).await?;
    bench.holds("other", Some("stays")).await
}

async fn get_many_keeps_the_order_of_the_keys(bench: Bench) -> Outcome {
    ensure(bench.cache.get_many(&[]).await?.is_empty(), "no keys, no values")?;
    let mut keys = Vec::new();
    for number in (0..300).rev() {
        let key = format!("key.{number}");
        if number % 3 > 0 {
            bench.set(&key, &number.to_string()).await?;
        }
        keys.push(key);
    }
    keys.push("key.1".to_owned());
    let values = bench.cache.get_many(&keys).await?;
    ensure(values.len() == keys.len(), "each key has its place")?;
    for (key, value) in keys.iter().zip(values) {
        let number = key.trim_start_matches("key.");
        let is_set = number.parse::<u32>().is_ok_and(|number| number % 3 > 0);
        let expected = is_set.then_some(number.as_bytes());
        ensure(value.as_deref() == expected, "each value is its key's")?;
    }
    Ok(())
}

async fn a_value_of_1_mib_is_kept_and_a_larger_one_refused(bench: Bench) -> Outcome {
    let value = pattern(1, 0, 1 << 20);
    bench.cache.set("set", value.clone(), LONG).await?;
    ensure(bench.cache.add("add", value.clone(), LONG).await?, "it is added")?;
    for key in ["set", "add"] {
        ensure(
            bench.cache.get(key).await?.as_ref() == Some(&value),
            "it is whole",
        )?;
    }
    let larger = pattern(1, 0, (1 << 20) + 1);
    ensure_kind(bench.cache.set("set", larger.clone(), LONG).await, TooLarge)?;
    ensure_kind(bench.cache.add("new", larger, LONG).await, TooLarge)?;
    bench.holds("new", None).await
}

async fn ping_answers(bench: Bench) -> Outcome {
    Ok(bench.cache.ping().await?)
}

async fn two_processes_see_the_same_values(bench: Bench) -> Outcome {
    let other = bench.open_again().await?;
    other.set("key", "there".into(), LONG).await?;
    bench.holds("key", Some("there")).await?;
    ensure(
        !bench.cache.add("key", "here".into(), LONG).await?,
        "add sees it too",
    )
}
