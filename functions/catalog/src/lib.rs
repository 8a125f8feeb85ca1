//! Every feature function and drift statistic, and the point-in-time rule, once.
