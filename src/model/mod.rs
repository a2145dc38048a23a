//! Plain data and rules: what a project file may say, and what a typed value must look like. No I/O.

#[macro_use]
mod text;

pub(crate) mod authorizer;
mod authorizer_shape;
pub(crate) mod aws;
pub(crate) mod choices;
pub(crate) mod entrypoint;
pub(crate) mod environment;
pub(crate) mod image;
pub(crate) mod jwt;
pub(crate) mod lifecycle;
pub(crate) mod name;
pub(crate) mod network;
pub(crate) mod path;
pub(crate) mod project;
pub(crate) mod request_headers;
pub(crate) mod session;
pub(crate) mod setting;
pub(crate) mod shape;

pub(crate) use text::{Invalid, nearest};
