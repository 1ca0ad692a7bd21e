//! Whatever is given to the reader: an inventory or mistakes, never a panic, and every mistake stands in the text.

use inventory::read;
use proptest::prelude::*;

/// Pieces of inventories, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "cluster:",
        "hosts:",
        "ssh:",
        "artifacts:",
        "name:",
        "address:",
        "roles:",
        "resources:",
        "attributes:",
        "port:",
        "jump:",
        "etcd:",
        "file:",
        "password:",
        "  ",
        "\n",
        "\n  - ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "|\n",
        ">\n",
        "&a ",
        "*a ",
        "<<: ",
        "!!str ",
        "!x ",
        "---\n",
        "...\n",
        "# c\n",
        "\t",
        "\r\n",
        "\u{feff}",
        "${A}",
        "${B:-x}",
        "$$",
        "$",
        "${",
        "a[01:20]",
        "192.0.2.[21:40]",
        "a[1",
        "2001:db8::1",
        "192.0.2.1",
        "master",
        "agent",
        "coordinator",
        "cpus: 8",
        "[31000-32000]",
        "? ",
        ": ",
        "%YAML 1.2\n",
        "~",
        "é",
        "東",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn check(bytes: &[u8]) {
    let variable = |name: &str| (name == "A").then(|| "a[1:3]; $".to_owned());
    if let Err(mistakes) = read("f", bytes, variable) {
        assert!(!mistakes.0.is_empty());
        assert!(mistakes.to_string().starts_with("f:"));
        let lines =
            String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n").matches('\n').count()
                + 1;
        for mistake in &mistakes.0 {
            assert!((1..=lines + 1).contains(&mistake.place.line), "{mistake}");
            assert!(mistake.place.column > 0, "{mistake}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_inventory_or_mistakes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn any_pieces_are_an_inventory_or_mistakes(pieces in prop::collection::vec(piece(), 0..40)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn a_good_inventory_with_one_change_is_an_inventory_or_mistakes(at in 0_usize..1200, change in piece(), cut in 0_usize..8) {
        let good = include_str!("accepted/design.yaml");
        let (before, after): (String, String) = (good.chars().take(at).collect(), good.chars().skip(at + cut).collect());
        check(format!("{before}{change}{after}").as_bytes());
    }
}

#[test]
fn a_large_inventory_on_one_line_is_read_and_its_mistakes_are_bounded() {
    let host = |number: usize| {
        format!("{{name: n{number}, address: n{number}.example.org, roles: [agent], colour: red}}")
    };
    let hosts: Vec<String> = (0..5000).map(host).collect();
    let text = format!("{{cluster: {{name: demo}}, hosts: [{}]}}", hosts.join(", "));
    let mistakes = read("f", text.as_bytes(), |_| None).unwrap_err();
    assert!((50..=1000).contains(&mistakes.0.len()), "{}", mistakes.0.len());
    assert!(mistakes.0.iter().all(|mistake| mistake.line_text.len() < 1000));
    let text = text.replace(", colour: red", "").replacen("[agent]", "[master]", 1);
    assert_eq!(read("f", text.as_bytes(), |_| None).unwrap().hosts.len(), 5000);
}
