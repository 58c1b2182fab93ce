"""What all tuners share that sample from the policy, update after update: the loop, rollouts, what keeps the policy near."""
