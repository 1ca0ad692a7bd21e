use proptest::prelude::*;

use super::*;

fn host(hostname: &str, attributes: &str) -> Host {
    let attributes = attributes.parse().unwrap();
    Host { hostname: hostname.into(), region: Some("eu".into()), zone: None, attributes }
}

fn constraint(parts: &[&str]) -> Constraint {
    let parts = parts.iter().map(|part| (*part).to_owned()).collect();
    parse(&[parts]).unwrap().remove(0)
}

/// Whether an instance may go to an agent with this attribute `a`, others being on agents with those.
fn allows(operator: &[&str], candidate: &str, placed: &[&str]) -> bool {
    let parts = [&["a"], operator].concat();
    let placed: Vec<Host> = placed.iter().map(|attributes| host("other", attributes)).collect();
    let placed: Vec<&Host> = placed.iter().collect();
    check(&[constraint(&parts)], &host("h", candidate), &placed).is_ok()
}

#[test]
fn each_operator_decides_as_marathon_does() {
    let table: &[(&[&str], &str, &[&str], bool)] = &[
        (&["UNIQUE"], "a:x", &["a:y", ""], true),
        (&["UNIQUE"], "a:x", &["a:y", "a:x"], false),
        (&["UNIQUE"], "a:1.0", &["a:1"], false),
        (&["CLUSTER", "x"], "a:x", &["a:y"], true),
        (&["CLUSTER", "x"], "a:y", &["a:y"], false),
        (&["CLUSTER"], "a:x", &[], true),
        (&["CLUSTER", ""], "a:x", &["", "a:x"], true),
        (&["CLUSTER"], "a:x", &["a:y", "a:x"], false),
        (&["LIKE", "r[12]"], "a:r1", &[], true),
        (&["LIKE", "r[12]"], "a:r12", &[], false),
        (&["LIKE", "r1|r2"], "a:r22", &[], false),
        (&["LIKE", "10"], "a:10.0", &[], true),
        (&["LIKE", r"\[1-4\]"], "a:[1-2,3-4]", &[], true),
        (&["LIKE", r"\{x,y\}"], "a:{y,x}", &[], true),
        (&["UNLIKE", "r[12]"], "a:r1", &[], false),
        (&["UNLIKE", "r[12]"], "a:xr1", &[], true),
        (&["MAX_PER", "2"], "a:x", &["a:x", "a:y", "a:y"], true),
        (&["MAX_PER", "2"], "a:x", &["a:x", "a:x"], false),
        (&["MAX_PER", "0"], "a:x", &[], false),
        (&["IS", "x"], "a:x", &[], true),
        (&["IS", "x"], "a:X", &[], false),
        (&["IS", "1.50"], "a:1.5", &[], true),
        (&["IS", "1.5004"], "a:1.5", &[], true),
        (&["IS", "x"], "a:1.5", &[], false),
        (&["IS", "{x,y}"], "a:{y,x}", &[], true),
        (&["GROUP_BY", "3"], "a:x", &["a:x"], false),
        (&["GROUP_BY", "3"], "a:z", &["a:x", "a:y"], true),
        (&["GROUP_BY", "2"], "a:z", &["a:x", "a:y"], false),
        (&["GROUP_BY", "2"], "a:x", &["a:x", "a:y"], true),
        (&["GROUP_BY", "2"], "a:x", &["a:x", "a:x", "a:y"], false),
        (&["GROUP_BY", "1"], "a:x", &["a:x", "a:x"], true),
        (&["GROUP_BY"], "a:x", &["a:x"], true),
        (&["GROUP_BY"], "a:y", &["a:x"], true),
        (&["GROUP_BY"], "a:x", &["a:x", "a:x", "a:y"], false),
        (&["GROUP_BY"], "a:y", &["a:x", "a:x", "a:y"], true),
    ];
    for (operator, candidate, placed, expected) in table {
        assert_eq!(allows(operator, candidate, placed), *expected, "{operator:?} {candidate} {placed:?}");
    }
}

#[test]
fn an_agent_that_lacks_the_attribute_passes_unlike_alone() {
    let operators: [&[&str]; 7] = [
        &["UNIQUE"],
        &["CLUSTER"],
        &["GROUP_BY"],
        &["LIKE", ".*"],
        &["MAX_PER", "9"],
        &["IS", "x"],
        &["UNLIKE", ".*"],
    ];
    for operator in operators {
        assert_eq!(allows(operator, "b:1", &[]), operator[0] == "UNLIKE", "{operator:?}");
    }
}

#[test]
fn fields_are_the_hostname_the_domain_or_an_attribute() {
    let agent = host("10.0.0.1", "hostname:wrong");
    for (parts, expected) in [
        (["hostname", "IS", "10.0.0.1"], true),
        (["@hostname", "LIKE", r"10\..*"], true),
        (["@region", "IS", "eu"], true),
        (["@zone", "LIKE", ".*"], false),
        (["@zone", "UNLIKE", ".*"], true),
        (["rack", "UNLIKE", ".*"], true),
    ] {
        assert_eq!(check(&[constraint(&parts)], &agent, &[]).is_ok(), expected, "{parts:?}");
    }
}

#[test]
fn the_constraint_that_turned_an_agent_away_is_named() {
    let constraints = [constraint(&["a", "LIKE", "x"]), constraint(&["hostname", "UNIQUE"])];
    let agent = host("h", "a:x");
    let refused = check(&constraints, &agent, &[&agent]).unwrap_err();
    assert_eq!(refused.to_string(), r#"["hostname", "UNIQUE"]"#);
    let refused = check(&constraints, &host("h", "a:y"), &[]).unwrap_err();
    assert_eq!(refused.to_string(), r#"["a", "LIKE", "x"]"#);
}

#[test]
fn every_bad_constraint_is_reported() {
    let parts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let errors = parse(&[
        parts(&["a", "UNIQUE"]),
        parts(&["a", "unique"]),
        parts(&["a", "UNIQUE", "1"]),
        parts(&["a", "MAX_PER"]),
        parts(&["a", "MAX_PER", "-1"]),
        parts(&["a", "GROUP_BY", "0"]),
        parts(&["a", "LIKE", "("]),
        parts(&["a", "UNLIKE", ")|("]),
        parts(&["a", "IS", ""]),
        parts(&["@rack", "UNIQUE"]),
        parts(&["", "UNIQUE"]),
        parts(&["a"]),
    ])
    .unwrap_err();
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "constraint 1: operator `unique` is unknown: use UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER or IS",
            "constraint 2: UNIQUE takes no value",
            "constraint 3: MAX_PER needs a value: a whole number",
            "constraint 4: MAX_PER needs a whole number, not `-1`",
            "constraint 5: GROUP_BY needs a whole number of at least 1, not `0`",
            "constraint 6: LIKE needs a regular expression, and `(` is none: unclosed group",
            "constraint 7: UNLIKE needs a regular expression, and `)|(` is none: unopened group",
            "constraint 8: IS needs a value: a number or a text",
            "constraint 9: field `@rack` is unknown: @hostname, @region and @zone are the ones that begin with @",
            "constraint 10: its field is empty",
            "constraint 11: it has 1 parts; write it as [field, operator] or [field, operator, value]",
        ]
    );
}

proptest! {
    /// Whatever agents are tried in whatever order, the counts of two values in use differ by one at most in the end,
    /// and with a number all the time.
    #[test]
    fn group_by_ends_balanced(values in 1usize..6, given: bool, tries in prop::collection::vec(0usize..6, 1..40)) {
        let count = values.to_string();
        let parts: &[&str] = if given { &["a", "GROUP_BY", &count] } else { &["a", "GROUP_BY"] };
        let rule = [constraint(parts)];
        let hosts: Vec<Host> = (0..6).map(|v| host("h", &format!("a:v{v}"))).collect();
        let mut placed: Vec<usize> = Vec::new();
        let fits = |value: usize, placed: &[usize]| {
            let placed: Vec<&Host> = placed.iter().map(|at| &hosts[*at]).collect();
            check(&rule, &hosts[value], &placed).is_ok()
        };
        for value in tries.into_iter().map(|v| v % values) {
            if fits(value, &placed) {
                placed.push(value);
            }
            // With all values at hand there is always one that takes the next instance.
            prop_assert!((0..values).any(|value| fits(value, &placed)));
        }
        // Without a number a value may be opened late; it then takes all until it has caught up.
        for turn in 0..values * 80 {
            let next = (turn..turn + values).map(|v| v % values).find(|value| fits(*value, &placed));
            placed.extend(next);
            let counts: Vec<usize> =
                (0..values).map(|v| placed.iter().filter(|p| **p == v).count()).collect();
            let used = counts.iter().copied().filter(|count| *count > 0);
            let apart = used.clone().max().unwrap_or(0) - used.min().unwrap_or(0);
            prop_assert!(!given || apart <= 1, "{counts:?}");
        }
        let counts = (0..values).map(|v| placed.iter().filter(|p| **p == v).count());
        prop_assert!(counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0) <= 1);
    }
}
