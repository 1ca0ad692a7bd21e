//! Properties of resources, and of ranges against a plain set of numbers.

#![expect(clippy::unwrap_used, reason = "in tests, where a panic is the message")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use scheduler::{Bundle, Range, Ranges, Resources, Role, Scalar};

fn ranges(most: u64) -> impl Strategy<Value = Ranges> {
    prop::collection::vec((0..most, 0u64..12), 0..8)
        .prop_map(|all| all.into_iter().filter_map(|(begin, more)| Range::new(begin, begin + more)).collect())
}

fn numbers(ranges: &Ranges) -> BTreeSet<u64> {
    ranges.values().collect()
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![Just(Scalar::ZERO), (0i64..5_000_000).prop_map(Scalar::from_thousandths)]
}

fn bundle() -> impl Strategy<Value = Bundle> {
    let own = prop::option::of((scalar(), ranges(50), prop::collection::btree_set("[a-f]{1,2}", 0..4)));
    (scalar(), scalar(), scalar(), scalar(), ranges(100), own).prop_map(
        |(cpus, mem, disk, gpus, ports, own)| {
            let mut bundle = Bundle::new(cpus, mem, disk).with_ports(ports);
            bundle.add_scalar("gpus", gpus);
            if let Some((amount, numbers, items)) = own {
                bundle.add_scalar("widgets", amount);
                bundle.add_ranges("vlans", &numbers);
                bundle.add_set("disks", &items);
            }
            bundle
        },
    )
}

fn resources() -> impl Strategy<Value = Resources> {
    let role = prop::sample::select(vec!["*", "a", "a/b", "prod"]);
    prop::collection::vec((role, bundle()), 0..4).prop_map(|parts| {
        let mut resources = Resources::default();
        for (role, bundle) in parts {
            resources.add_part(&role.parse::<Role>().unwrap(), &bundle);
        }
        resources
    })
}

proptest! {
    #[test]
    fn ranges_are_what_a_set_of_their_numbers_is(a in ranges(60), b in ranges(60), probe in 0u64..80) {
        let (left, right) = (numbers(&a), numbers(&b));
        prop_assert_eq!(a.count(), left.len() as u64);
        prop_assert_eq!(a.contains_value(probe), left.contains(&probe));
        prop_assert_eq!(a.contains(&b), left.is_superset(&right));
        let gap = |pair: &[Range]| pair[0].end() + 1 < pair[1].begin();
        prop_assert!(a.as_slice().windows(2).all(gap), "not normalised: {}", a);
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert_eq!(numbers(&sum), left.union(&right).copied().collect::<BTreeSet<_>>());
        prop_assert!(sum.as_slice().windows(2).all(gap), "not normalised: {}", sum);
        let mut rest = a.clone();
        rest.subtract(&b);
        prop_assert_eq!(numbers(&rest), left.difference(&right).copied().collect::<BTreeSet<_>>());
        prop_assert!(rest.as_slice().windows(2).all(gap), "not normalised: {}", rest);
        let mut checked = a.clone();
        prop_assert_eq!(checked.checked_subtract(&b), a.contains(&b));
        prop_assert_eq!(checked, if a.contains(&b) { rest } else { a });
    }

    #[test]
    fn what_is_taken_and_put_back_is_as_before(a in resources(), b in resources()) {
        let mut whole = a.clone();
        whole.add(&b);
        prop_assert!(whole.contains(&a) && whole.contains(&b));
        let rest = whole.checked_sub(&b);
        prop_assert!(rest.is_ok());
        let mut again = rest.unwrap_or_default();
        again.add(&b);
        prop_assert_eq!(&again, &whole);
        prop_assert!(whole.checked_sub(&whole).unwrap().is_empty());
    }

    #[test]
    fn amounts_add_up(a in resources(), b in resources()) {
        let mut sum = a.clone();
        sum.add(&b);
        for name in ["cpus", "mem", "disk", "gpus", "widgets", "unheard"] {
            prop_assert_eq!(sum.scalars().get(name), a.scalars().get(name).plus(b.scalars().get(name)));
        }
    }

    #[test]
    fn what_is_missing_is_named_or_there(a in resources(), b in resources()) {
        prop_assert_eq!(a.contains(&b), a.missing(&b).is_none());
        prop_assert_eq!(a.checked_sub(&b).err(), a.missing(&b));
    }

    #[test]
    fn shown_and_read_again_is_the_same(a in resources()) {
        prop_assert_eq!(a.to_string().parse::<Resources>().unwrap(), a);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z:;(),\\[\\]{}0-9.é* -]{0,40}") {
        let _ = text.parse::<Resources>();
        let _ = text.parse::<scheduler::attributes::Attributes>();
    }
}

#[test]
fn ranges_reach_the_end_of_the_numbers() {
    let whole: Ranges = [Range::new(0, u64::MAX).unwrap()].into_iter().collect();
    let last: Ranges = [Range::new(u64::MAX, u64::MAX).unwrap()].into_iter().collect();
    let mut rest = whole.clone();
    rest.subtract(&last);
    assert_eq!(rest.to_string(), format!("[0-{}]", u64::MAX - 1));
    rest.add(&last);
    assert_eq!(rest, whole);
    assert_eq!(whole.count(), u64::MAX);
}

#[test]
fn an_offer_is_worth_making_from_a_hundredth_of_a_cpu_or_32_mib() {
    for (text, worth) in [
        ("cpus:0.01", true),
        ("cpus:0.009;mem:31.999;disk:9999;ports:[1-9]", false),
        ("mem:32", true),
        ("mem:16;mem(prod):16", true),
        ("", false),
    ] {
        assert_eq!(text.parse::<Resources>().unwrap().is_allocatable(), worth, "{text}");
    }
}

#[test]
fn what_is_missing_is_said_with_both_amounts() {
    let there: Resources = "cpus:1;mem(prod):512;ports:[1-5]".parse().unwrap();
    for (wanted, message) in [
        ("cpus:1.5", "cpus(*): 1.5 wanted, 1 there"),
        ("mem(prod):1024", "mem(prod): 1024 wanted, 512 there"),
        ("ports:[5-6]", "ports(*): [5-6] wanted, [1-5] there"),
        ("disks:{a}", "disks(*): {a} wanted, nothing there"),
    ] {
        let missing = there.missing(&wanted.parse().unwrap()).unwrap();
        assert_eq!(missing.to_string(), message);
    }
}
