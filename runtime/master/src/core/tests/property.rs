//! Agents that lose, repeat and reorder what they send, hang up and come back; a framework that does not always listen;
//! masters that are replaced. When all that ends, everybody agrees (P3, P10), and no task was started twice (P2).

use proptest::prelude::*;

use super::play::{AGENTS, Loss, Move, Play};
use super::*;

fn moves() -> impl Strategy<Value = Move> {
    let agent = 0..AGENTS;
    let loss = prop_oneof![
        4 => Just(Loss::Nothing),
        1 => Just(Loss::Lost),
        1 => Just(Loss::Twice),
        2 => (0..8usize).prop_map(Loss::Old),
    ];
    prop_oneof![
        2 => agent.clone().prop_map(Move::Connect),
        1 => (agent.clone(), any::<bool>()).prop_map(|(agent, heard)| Move::HangUp(agent, heard)),
        24 => agent.clone().prop_map(Move::Deliver),
        12 => (agent.clone(), 0..8usize, prop::bool::weighted(0.3)).prop_map(|(agent, task, end)| Move::Advance(agent, task, end)),
        20 => (agent.clone(), loss).prop_map(|(agent, loss)| Move::Send(agent, loss)),
        1 => (agent, 0..8usize).prop_map(|(agent, task)| Move::Forget(agent, task)),
        1 => Just(Move::Subscribe),
        1 => Just(Move::Leave),
        6 => (1..4u8).prop_map(Move::Accept),
        24 => prop::bool::weighted(0.2).prop_map(Move::Acknowledge),
        2 => (0..16usize).prop_map(Move::Kill),
        1 => Just(Move::Ask),
        6 => Just(Move::Offer),
        2 => (1..30u64).prop_map(Move::Pass),
        1 => Just(Move::Failover),
    ]
}

proptest! {
    #[test]
    fn when_faults_end_everybody_agrees_and_no_task_was_started_twice(
        moves in proptest::collection::vec(moves(), 1..200)
    ) {
        let mut play = Play::new();
        for at in 0..AGENTS {
            play.connect(at);
        }
        play.subscribe();
        for one in moves {
            play.play(one);
        }
        play.settle();
        play.agree();
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(moves in proptest::collection::vec(moves(), 1..60)) {
        let run = || {
            let mut play = Play::new();
            for one in moves.clone() {
                play.play(one);
            }
            let last = play.world.step(Input::Tick);
            (format!("{:?}", play.world.state.tasks), play.world.state.counters.clone(), last)
        };
        prop_assert_eq!(run(), run());
    }
}
