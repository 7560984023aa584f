"""The posterior of the paper's spiked model given moments of pairs and labels: docs/calibrated.md tells it in formulas.

moments        what the model is fitted to
exchangeable   priors of classes of components: common mean, common spread, both unknown
diagonalize    the axes that fit best, and whether the model fits at all
frames         energy of the axes, its gradient, and Hamiltonian moves on the orthogonal groups
labels         marginal likelihood of the labels given which components are signal
membership     which components are signal, and its prior
flips          moves that change it
births         moves that change it together with the axes
chain          one Markov chain over axes and membership
draws          what a chain says: ratios, counts, shares, draw by draw
"""
