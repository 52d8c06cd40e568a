"""What carries weights between the trainers, the published systems and the robot."""
