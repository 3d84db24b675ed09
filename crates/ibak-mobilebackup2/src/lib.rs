//! The host side of Apple's backup conversation (DeviceLink, mobilebackup2).
