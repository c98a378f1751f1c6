//! Proton C++ 0.37.

use postroad_tests::peers;

use super::{Habits, Place};

pub(super) const HABITS: Habits = Habits {
    lacks_exactly_once: [Some("the receiver settles first (rcv-settle-mode first)"); 2],
    sends_settled: false,
    tells_errors: false,
    asks_for_second: false,
    ..Habits::NONE
};

face! {
    peers::proton_cpp().map(Place::Listening), HABITS,
    client::{
        client_says_hello, client_sends_many_and_receives_them, client_asks_and_is_answered, client_accepts_later,
        client_settles_later, client_gives_credit_by_hand, client_drains, client_is_drained_and_goes_on,
        client_has_nodes_made, client_keeps_each_guarantee, client_learns_outcomes,
        client_is_told_why_a_link_is_refused, client_is_told_why_something_ends, client_closes_with_an_error,
        client_comes_in, client_and_idle_peer_keep_each_other_alive, client_gives_up_a_peer_that_says_nothing,
        client_goes_on_after_cuts,
    },
}

face! {
    peers::proton_cpp(), HABITS,
    server::{
        server_takes_what_the_peer_sends, server_sends_what_the_peer_receives, server_answers_questions,
        server_and_peer_tell_outcomes, server_refuses_and_the_peer_is_told, server_accepts_later, server_settles_later,
        server_gives_credit_by_hand, server_drains, server_is_drained, server_makes_a_node, server_keeps_each_guarantee,
        server_lets_the_right_user_in, server_and_idle_peer_keep_each_other_alive,
        server_gives_up_a_peer_that_says_nothing, server_ends_things_with_an_error, server_goes_on_after_cuts,
    },
}
