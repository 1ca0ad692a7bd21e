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

/// Whether an instance may go to an agent with this attribute `a`, others being on agents with those; it is the last one.
fn allows(operator: &[&str], candidate: &str, placed: &[&str]) -> bool {
    allows_of(operator, candidate, placed, placed.len() + 1)
}

/// Likewise, as one of so many.
fn allows_of(operator: &[&str], candidate: &str, placed: &[&str], target: usize) -> bool {
    let parts = [&["a"], operator].concat();
    let placed: Vec<Host> = placed.iter().map(|attributes| host("other", attributes)).collect();
    let placed: Vec<&Host> = placed.iter().collect();
    check(&[constraint(&parts)], &host("h", candidate), &placed, target).is_ok()
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
        assert_eq!(check(&[constraint(&parts)], &agent, &[], 1).is_ok(), expected, "{parts:?}");
    }
}

#[test]
fn the_constraint_that_turned_an_agent_away_is_named() {
    let constraints = [constraint(&["a", "LIKE", "x"]), constraint(&["hostname", "UNIQUE"])];
    let agent = host("h", "a:x");
    let refused = check(&constraints, &agent, &[&agent], 2).unwrap_err();
    assert_eq!(refused.to_string(), r#"["hostname", "UNIQUE"]"#);
    let refused = check(&constraints, &host("h", "a:y"), &[], 1).unwrap_err();
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

#[test]
fn group_by_divides_the_app_s_number_of_instances() {
    let table: &[(&str, usize, &str, &[&str], bool)] = &[
        // Six over three racks of which one is down: two and two, and the rest waits for the third.
        ("3", 6, "a:x", &["a:x", "a:y"], true),
        ("3", 6, "a:y", &["a:x", "a:x", "a:y"], true),
        ("3", 6, "a:x", &["a:x", "a:x", "a:y", "a:y"], false),
        ("3", 6, "a:z", &["a:x", "a:x", "a:y", "a:y"], true),
        // Seven: one of the values may have three.
        ("3", 7, "a:x", &["a:x", "a:x", "a:y", "a:y"], true),
        ("3", 7, "a:y", &["a:x", "a:x", "a:x", "a:y", "a:y"], false),
        // One that is full before the others have begun.
        ("2", 5, "a:x", &["a:x", "a:x"], true),
        ("2", 5, "a:x", &["a:x", "a:x", "a:x"], false),
        // More are there than the app is to have.
        ("2", 2, "a:x", &["a:x", "a:x", "a:x"], false),
        ("2", 2, "a:y", &["a:x", "a:x", "a:x"], true),
        ("3", 2, "a:x", &["a:x"], false),
        ("3", 6, "a:u", &["a:x", "a:y", "a:z"], false),
    ];
    for (groups, target, candidate, placed, expected) in table {
        let allowed = allows_of(&["GROUP_BY", groups], candidate, placed, *target);
        assert_eq!(allowed, *expected, "{groups} of {target}: {candidate} {placed:?}");
    }
}

#[test]
fn what_java_s_expressions_have_more_is_named() {
    for text in ["(?!r1).*", r"(r)\1", "(?<=a)b"] {
        let parts = ["a", "LIKE", text].map(str::to_owned).to_vec();
        let message = parse(&[parts]).unwrap_err()[0].to_string();
        assert!(message.contains("Java") && message.contains(text), "{message}");
    }
}

/// The rules as one reads them, over all that is placed.
fn plainly(operator: &Operator, value: &str, placed: &[&str], target: usize) -> bool {
    let count = |value: &str| placed.iter().filter(|other| **other == value).count();
    let values: std::collections::BTreeSet<&str> = placed.iter().copied().collect();
    match operator {
        Operator::Unique => !placed.contains(&value),
        Operator::Cluster(None) => placed.first().is_none_or(|first| *first == value),
        Operator::MaxPer(most) => count(value) < *most,
        Operator::GroupBy(None) => {
            values.iter().all(|other| count(value) == 0 || count(other) >= count(value))
        }
        Operator::GroupBy(Some(n)) if count(value) == 0 => values.len() < *n,
        Operator::GroupBy(Some(n)) => {
            let (each, extra) = (target / n, target % n);
            let used: usize = values.iter().map(|other| count(other).saturating_sub(each)).sum();
            count(value) < each || (count(value) == each && used < extra)
        }
        _ => unreachable!("not asked for"),
    }
}

proptest! {
    /// A tally that grew says what counting anew says.
    #[test]
    fn a_tally_says_what_its_instances_say(
        rule in 0usize..5,
        n in 1usize..5,
        target in 0usize..20,
        placed in prop::collection::vec(0usize..6, 0..20),
    ) {
        let number = n.to_string();
        let rules: [&[&str]; 5] = [
            &["a", "UNIQUE"],
            &["a", "CLUSTER"],
            &["a", "MAX_PER", &number],
            &["a", "GROUP_BY"],
            &["a", "GROUP_BY", &number],
        ];
        let rules = [constraint(rules[rule])];
        let values = ["v0", "v1", "v2", "v3", "v4", "v5"];
        let hosts = values.map(|value| host("h", &format!("a:{value}")));
        let mut tallies = tally(&rules, []);
        for at in 0..=placed.len() {
            let before: Vec<&str> = placed[..at].iter().map(|v| values[*v]).collect();
            for (value, host) in values.iter().zip(&hosts) {
                let expected = plainly(&rules[0].operator, value, &before, target);
                prop_assert_eq!(check_tallied(&rules, host, &tallies, target).is_ok(), expected);
            }
            if let Some(next) = placed.get(at) {
                tallies.iter_mut().for_each(|tally| tally.place(&hosts[*next]));
            }
        }
    }

    /// Whatever agents are tried in whatever order, all instances find a place, and with a number the counts differ by one at
    /// most when all of them are there. Values that are down get their part when they are back.
    #[test]
    fn group_by_ends_balanced(
        values in 1usize..6,
        target in 1usize..40,
        down in 0usize..6,
        given: bool,
        tries in prop::collection::vec(0usize..6, 1..40),
    ) {
        let count = values.to_string();
        let parts: &[&str] = if given { &["a", "GROUP_BY", &count] } else { &["a", "GROUP_BY"] };
        let rule = [constraint(parts)];
        let hosts: Vec<Host> = (0..6).map(|v| host("h", &format!("a:v{v}"))).collect();
        let mut placed: Vec<usize> = Vec::new();
        let fits = |value: usize, placed: &[usize]| {
            let placed: Vec<&Host> = placed.iter().map(|at| &hosts[*at]).collect();
            placed.len() < target && check(&rule, &hosts[value], &placed, target).is_ok()
        };
        let count = |value: usize, placed: &[usize]| placed.iter().filter(|p| **p == value).count();
        for value in tries.into_iter().map(|v| v % values).filter(|v| *v != down) {
            if fits(value, &placed) {
                placed.push(value);
            }
            // With all values at hand there is always one that takes the next instance.
            prop_assert!(placed.len() == target || (0..values).any(|value| fits(value, &placed)));
        }
        if given {
            // Without the one that is down, the others get all of their parts and what remains of the division.
            while let Some(next) = (0..values).filter(|v| *v != down).find(|v| fits(*v, &placed)) {
                placed.push(next);
            }
            let up = (0..values).filter(|v| *v != down).count();
            let most = up * (target / values) + if up == 0 { 0 } else { up.min(target % values) };
            prop_assert_eq!(placed.len(), most.min(target));
        }
        for turn in 0..target * values {
            let next = (turn..turn + values).map(|v| v % values).find(|value| fits(*value, &placed));
            placed.extend(next);
        }
        prop_assert_eq!(placed.len(), target);
        let counts = || (0..values).map(|v| count(v, &placed));
        prop_assert!(!given || counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= 1);
    }
}
