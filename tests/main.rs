//! All integration tests, in one binary that links once: a module for each capability.

// A test says what it expects by unwrapping it.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// And what it measured, to whoever asks with --nocapture.
#![allow(clippy::print_stdout)]

mod abuse;
mod agreement;
mod answers;
mod browser_calls;
mod browser_harness;
mod calls;
mod camera;
mod colours;
mod datagrams;
mod doctor;
mod ends;
mod endurance;
mod errors;
mod examples;
mod face_to_face;
mod files;
mod first_checks;
mod foreign_server;
mod handshakes;
mod help;
mod hostile_calls;
mod ice_tcp;
mod in_step;
mod job_control;
mod keys;
mod loopback;
mod netlab;
mod on_path;
mod page;
mod page_access;
mod page_trouble;
mod performance;
mod pipes;
mod prompt;
mod recordings;
mod relay;
mod restart;
mod screen;
mod seeking;
mod server_rules;
mod service;
mod settings;
mod shortfalls;
mod signaling_load;
mod sound;
mod sound_latency;
mod sound_quality;
mod strangers;
mod stun_servers;
mod support;
mod terminal;
mod tidy;
mod tls;
mod turned;
mod window;
