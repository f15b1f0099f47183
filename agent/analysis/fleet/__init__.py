"""Many nodes' answers side by side: who differs, and who reaches whom."""
