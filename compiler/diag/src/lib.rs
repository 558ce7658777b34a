//! Diagnostics as plain data: codes, labels, help, did-you-mean.
