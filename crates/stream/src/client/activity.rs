//! Client state indication at the client (XEP-0352): the server is told when nobody uses it, where it wants to know.

use alloc::vec::Vec;

use balcony_xep::csi::ClientState;

use super::Client;
use crate::common::Common;
use crate::feature::sm;
use crate::state::Phase;
use crate::stream::Stream;

/// Whether somebody uses the client, and what the server knows of that.
#[derive(Default)]
pub(super) struct Activity {
    pub(super) is_inactive: bool,
    /// The server wants to know.
    pub(super) is_offered: bool,
    /// It takes this client for inactive, on this stream.
    pub(super) is_told: bool,
}

impl Stream<Client> {
    /// Says whether somebody uses this client. As long as nobody does its server may hold back what is not urgent, if it
    /// [can](super::ServerFeatures::client_state); otherwise it is not told. At first
    /// it is as [configured](super::ClientStreamConfig::active). It may be said at any time: before the stream is open it is kept, and told with the resource, or as soon as the session goes on.
    pub fn set_active(&mut self, is_active: bool, out: &mut Vec<u8>) {
        self.side.activity.is_inactive = !is_active;
        self.side.tell_activity(&self.common, out);
    }

    /// What was said [last](Stream::set_active).
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.side.activity.is_inactive
    }
}

impl Client {
    /// Tells the server, if that is news. A stream begins as active, also one that goes on with an earlier session (sections 4.2
    /// and 5.2).
    pub(super) fn tell_activity(&mut self, common: &Common, out: &mut Vec<u8>) {
        let Activity { is_inactive, is_offered, is_told } = self.activity;
        if common.phase() != Phase::Open || !is_offered || is_inactive == is_told {
            return;
        }
        let state = if is_inactive { ClientState::Inactive } else { ClientState::Active };
        sm::write(common.framing, &state.to_element(), out);
        self.activity.is_told = is_inactive;
    }
}
