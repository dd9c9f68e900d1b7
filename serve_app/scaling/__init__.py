"""The autoscaling policy, which runs in Serve's controller."""
