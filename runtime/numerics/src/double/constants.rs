//! Constants to 320 bits and more.

use super::fixed::Fixed;

/// ln 2.
pub(super) const LN_2: Fixed = Fixed([
    0xe7b8_7620_6deb_ac98,
    0x8a0d_175b_8baa_fa2b,
    0x40f3_4326_7298_b62d,
    0xc9e3_b398_03f2_f6af,
    0xb172_17f7_d1cf_79ab,
    0x0000_0000_0000_0000,
]);

/// π/2.
pub(super) const HALF_PI: Fixed = Fixed([
    0xa294_10f3_1c68_09bb,
    0x0417_7d4c_7627_3644,
    0x5204_9c11_14cf_98e8,
    0x898c_c517_01b8_39a2,
    0x921f_b544_42d1_8469,
    0x0000_0000_0000_0001,
]);

/// 2/π, lowest limb first.
pub(super) const TWO_OVER_PI: [u64; 22] = [
    0x6599_855f_14a0_6840,
    0xa9e3_9161_5ee6_1b08,
    0xf0cf_bc20_9af4_361d,
    0x5603_3046_fc7b_6bab,
    0x6bfb_5fb1_1f8d_5d08,
    0x3d07_39f7_8a52_92ea,
    0x7527_bac7_ebe5_f17b,
    0x4f46_3f66_9e5f_ea2d,
    0x6d36_7ecf_27cb_09b7,
    0xef2f_118b_5a0a_6d1f,
    0x1ff8_97ff_de05_980f,
    0x9c84_5f8b_bdf9_283b,
    0x3991_d639_8353_39f4,
    0xe99c_7026_b45f_7e41,
    0xe882_35f5_2ebb_4484,
    0xfe1d_eb1c_b129_a73e,
    0x0649_2eea_09d1_921c,
    0xb724_6e3a_424d_d2e0,
    0xfe51_63ab_debb_c561,
    0xdb62_9599_3c43_9041,
    0xfc27_57d1_f534_ddc0,
    0xa2f9_836e_4e44_1529,
];
