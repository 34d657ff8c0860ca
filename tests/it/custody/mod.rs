//! Keys that somebody else holds, beside those who really hold them.

mod plugin;
