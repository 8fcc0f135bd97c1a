# SPDX-License-Identifier: Apache-2.0
"""Hosts that Tenon fits into. Each module imports its own host; importing this package imports none."""
