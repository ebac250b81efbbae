use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    read(&format!("v: {text}")).unwrap()["v"].clone()
}

#[test]
fn scalars_by_the_rules_of_yaml_1_1() {
    for (text, want) in [
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("'yes'", json!("yes")),
        ("~", json!(null)),
        ("", json!(null)),
        ("''", json!("")),
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0x1F", json!(31)),
        ("-0b11", json!(-3)),
        ("1_000", json!(1000)),
        ("+5", json!(5)),
        ("08", json!(8)),
        ("09.5", json!(9.5)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1e3", json!(1000)),
        ("1.50", json!(1.5)),
        (".5", json!(0.5)),
        ("5.", json!(5)),
        ("1e400", json!("1e400")),
        ("1.2.3", json!("1.2.3")),
        ("1:30", json!("1:30")),
        ("2024-01-02", json!("2024-01-02")),
        ("12ab", json!("12ab")),
        ("0xzz", json!("0xzz")),
        ("-", json!("-")),
        ("+", json!("+")),
        ("1500m", json!("1500m")),
        ("!!str 12", json!("12")),
        ("!!float 12", json!(12)),
        ("!!bool on", json!(true)),
        ("!own 12", json!("12")),
    ] {
        // A lone dash is the beginning of a list.
        if text != "-" {
            assert_eq!(one(text), want, "{text}");
        }
    }
    for text in [".inf", "-.Inf", ".NaN", "!!int x", "!!int 1.5"] {
        assert!(read(&format!("v: {text}")).is_err(), "{text}");
    }
}

#[test]
fn keys_become_texts() {
    let value = read("{1: a, 0x10: b, 1.50: c, yes: d, 1e7: e, 0.00001: f, 2024-01-02: g}").unwrap();
    assert_eq!(
        value,
        json!({"1": "a", "16": "b", "1.5": "c", "true": "d", "1e+07": "e", "1e-05": "f", "2024-01-02": "g"})
    );
    for bad in ["{~: a}", "{[a]: b}", "{{a: b}: c}"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn merges_in_their_order() {
    let text = "a: &a {x: 1, w: 2}\nb: &b {x: 3, z: 4}\nc: {<<: *a, x: 5}\nd: {x: 5, <<: *a}\ne: {<<: [*a, *b]}\n\
                f: {'<<': 1}";
    let value = read(text).unwrap();
    assert_eq!(value["c"], json!({"x": 5, "w": 2}));
    assert_eq!(value["d"], json!({"x": 1, "w": 2}));
    assert_eq!(value["e"], json!({"x": 1, "w": 2, "z": 4}));
    assert_eq!(value["f"], json!({"<<": 1}));
    assert!(matches!(read("a: {<<: 1}"), Err(YamlError::Merge { line: 1 })));
}

#[test]
fn the_first_document_and_the_last_of_two_fields_count() {
    assert_eq!(read("a: 1\na: 2\n---\nb: 3\n").unwrap(), json!({"a": 2}));
    assert_eq!(read("# nothing\n").unwrap(), Value::Null);
    assert_eq!(read("").unwrap(), Value::Null);
}

#[test]
fn aliases_of_aliases_do_not_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let of = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{of}]\n"));
    }
    assert!(matches!(read(&text), Err(YamlError::TooMany)));
}

#[test]
fn errors_name_the_line() {
    let error = read("a: 1\nb: [\n").unwrap_err().to_string();
    assert!(error.contains("line"), "{error}");
}
