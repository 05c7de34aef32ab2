//! The evaluator against scipy and numpy, on the real data sets where this machine has them, on made-up and on faulty
//! ones.

mod bootstrap;
mod correlation;
mod details;
mod encode;
mod faults;
mod report;
mod seeds;
mod senteval;
mod synthetic;
mod unlabeled;
mod user_sets;
mod words;
