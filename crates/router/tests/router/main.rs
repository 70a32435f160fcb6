//! The router through its public face: the tables of RFC 6121 section 8.5, presence, binding, asks, and a reference
//! model beside it.
// A test has std, and fails by panicking.
#![allow(clippy::unwrap_used, clippy::std_instead_of_alloc)]

mod asks;
mod behind;
mod binding;
mod blocking;
mod carbons;
mod complaints;
mod contacts;
mod csi;
mod csi_model;
mod endings;
mod hibernated;
mod histories;
mod hold;
mod hooks;
mod indistinguishable;
mod iq;
mod last;
mod meeting;
mod meets;
mod messages;
mod model;
mod model_contacts;
mod offline;
mod outside;
mod owed;
mod own;
mod presence;
mod private;
mod push;
mod queues;
mod registration;
mod resumption;
mod rosters;
mod services;
mod slow;
mod strangers;
mod subscriptions;
mod vcard;
mod views;
mod waiting;
mod without;
mod world;
