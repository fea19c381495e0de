"""Thin rclpy adapters over the core, one process each."""
