//! Every gate that an upstream 1.37.2 kubelet registers, with its default, stage, lock and needs.
//!
//! The process registers the gates of all components, so a valid name of any of them has to be accepted
//! (contract §32). Taken from upstream's registry at 1.37.2.

use super::{
    Area::{Kubelet, Other},
    Spec,
    Stage::{Alpha, Beta, Deprecated, Ga},
};

macro_rules! gates {
    ($($name:ident $default:ident $stage:ident $lock:ident $area:ident [$($need:ident)*];)*) => {
        /// A feature gate, by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Gate { $(#[doc = concat!("`", stringify!($name), "`.")] $name,)* }

        /// All gates, sorted by name; `Gate as usize` is the index.
        pub const GATES: &[Spec] = &[$(Spec {
            gate: Gate::$name,
            name: stringify!($name),
            default: gates!(@$default),
            stage: $stage,
            locked: gates!(@$lock),
            area: $area,
            needs: &[$(Gate::$need,)*],
        },)*];
    };
    (@on) => { true };
    (@off) => { false };
    (@locked) => { true };
    (@free) => { false };
}

gates! {
    APIResponseCompression on Beta free Other [];
    APIServerIdentity on Beta free Other [];
    APIServerWebhookAuthenticationToken off Alpha free Other [];
    APIServingWithRoutine off Alpha free Other [];
    AggregatedDiscoveryRemoveBetaType on Deprecated locked Other [];
    AllAlpha off Alpha free Other [];
    AllBeta off Beta free Other [];
    AllowDNSOnlyNodeCSR off Deprecated free Kubelet [];
    AllowInsecureKubeletCertificateSigningRequests off Deprecated free Other [];
    AllowOverwriteTerminationGracePeriodSeconds off Deprecated locked Other [];
    AllowParsingUserUIDFromCertAuth on Beta free Other [];
    AllowServiceExternalIPs on Ga free Other [];
    AllowUnsafeMalformedObjectDeletion on Beta free Other [];
    AtomicFIFO on Beta free Other [];
    AtomicWriteVolumeUserFields off Alpha free Kubelet [];
    AuthorizePodWebsocketUpgradeCreatePermission on Beta free Other [];
    CBORServingAndStorage off Alpha free Other [];
    CPUManagerPolicyAlphaOptions off Alpha free Kubelet [];
    CPUManagerPolicyBetaOptions on Beta free Kubelet [];
    CPUManagerPolicyOptions on Ga locked Other [];
    CRDObservedGenerationTracking on Beta free Other [];
    CRDValidationRatcheting on Ga locked Other [];
    CRIListStreaming off Alpha free Kubelet [];
    CSIServiceAccountTokenSecrets on Ga locked Kubelet [];
    CSIVolumeHealth off Alpha free Kubelet [];
    ChangeContainerStatusOnKubeletRestart off Deprecated free Kubelet [];
    ClearingNominatedNodeNameAfterBinding on Beta free Other [];
    ClientsAllowCARotation on Beta free Other [];
    ClientsAllowCBOR off Alpha free Other [];
    ClientsAllowTLSCacheGC on Beta free Other [];
    ClientsPreferCBOR off Alpha free Other [];
    CloudControllerManagerWatchBasedRoutesReconciliation off Alpha free Other [];
    CloudControllerManagerWebhook off Alpha free Other [];
    ClusterTrustBundle on Ga free Other [];
    ClusterTrustBundleProjection on Ga free Kubelet [ClusterTrustBundle];
    ComponentFlagz on Beta free Kubelet [];
    ComponentStatusz on Beta free Kubelet [];
    CompositePodGroup off Alpha free Other [GenericWorkload TopologyAwareWorkloadScheduling];
    ConcurrentWatchObjectDecode on Beta free Other [];
    ConsistentListFromCacheSkipTimeoutFallback off Alpha free Other [];
    ConstrainedImpersonation on Beta free Other [];
    ContainerCheckpoint on Beta free Kubelet [];
    ContainerRestartRules on Beta free Kubelet [];
    ContainerStopSignals off Alpha free Kubelet [];
    ContextualLogging on Beta free Kubelet [];
    ControllerManagerReleaseLeaderElectionLockOnExit off Alpha free Other [];
    CoordinatedLeaderElection off Beta free Other [];
    CrossNamespaceVolumeDataSource off Alpha free Other [];
    CustomCPUCFSQuotaPeriod on Ga free Kubelet [];
    CustomResourceFieldSelectors on Ga locked Other [];
    DRAAdminAccess on Ga locked Other [DynamicResourceAllocation];
    DRAConsumableCapacity on Beta free Other [DynamicResourceAllocation];
    DRADerivedAttributes off Alpha free Other [DynamicResourceAllocation];
    DRADeviceBindingConditions on Beta free Other [DRAResourceClaimDeviceStatus DynamicResourceAllocation];
    DRADeviceCompatibilityGroups off Alpha free Other [DRAPartitionableDevices DynamicResourceAllocation];
    DRADeviceTaintRules on Ga free Other [DRADeviceTaints];
    DRADeviceTaints on Ga free Other [DynamicResourceAllocation];
    DRAExtendedResource on Ga locked Kubelet [DynamicResourceAllocation];
    DRAFractionalCapacityRange off Beta free Other [DRAConsumableCapacity];
    DRAListTypeAttributes off Alpha free Other [DynamicResourceAllocation];
    DRANodeAllocatableResources off Alpha free Kubelet [DynamicResourceAllocation];
    DRAOptionalNodeOperations off Alpha free Kubelet [DynamicResourceAllocation NodeDeclaredFeatures];
    DRAPartitionableDevices on Beta free Other [DynamicResourceAllocation];
    DRAPartitionableDevicesType off Alpha free Other [DRAPartitionableDevices DRAResourcePoolStatus DynamicResourceAllocation];
    DRAPrioritizedList on Ga locked Other [DynamicResourceAllocation];
    DRAResourceClaimDeviceStatus on Ga locked Other [];
    DRAResourceClaimGranularStatusAuthorization on Beta free Other [DRAResourceClaimDeviceStatus DynamicResourceAllocation];
    DRAResourcePoolStatus off Alpha free Other [DynamicResourceAllocation];
    DRASchedulerFilterTimeout on Beta free Other [DynamicResourceAllocation];
    DRAWorkloadResourceClaims off Beta free Kubelet [DynamicResourceAllocation GenericWorkload];
    DeclarativeValidation on Ga locked Other [];
    DeclarativeValidationBeta on Beta free Other [DeclarativeValidation];
    DeclarativeValidationTakeover off Deprecated locked Other [DeclarativeValidation];
    DefaultPodSysctls off Alpha free Kubelet [];
    DeploymentReplicaSetTerminatingReplicas on Beta free Other [];
    DetectCacheInconsistency on Beta free Other [];
    DisableAllocatorDualWrite on Ga locked Other [MultiCIDRServiceAllocator];
    DisableCPUQuotaWithExclusiveCPUs on Deprecated locked Kubelet [];
    DisableNodeKubeProxyVersion on Deprecated locked Kubelet [];
    DynamicResourceAllocation on Ga locked Kubelet [];
    EmptyDirVolumeMode off Alpha free Kubelet [];
    EnvFiles on Beta free Kubelet [];
    EtcdRangeStream on Beta free Other [];
    EventedPLEG off Alpha free Kubelet [PLEGOnDemandRelist];
    EvictionRequestAPI off Alpha free Other [];
    ExcludeAdmissionWebhookVirtualResources on Beta free Other [];
    ExecProbeTimeout on Ga locked Kubelet [];
    ExtendWebSocketsToKubelet on Beta free Kubelet [NodeDeclaredFeatures];
    ExternalServiceAccountTokenSigner on Ga locked Other [];
    GRPCContainerProbeTLS off Alpha free Kubelet [];
    GenericWorkload off Beta free Other [];
    GitRepoVolumeDriver off Deprecated locked Kubelet [];
    GracefulNodeShutdown on Beta free Kubelet [];
    GracefulNodeShutdownBasedOnPodPriority on Beta free Kubelet [GracefulNodeShutdown];
    H2CContainerProbe off Alpha free Kubelet [NodeDeclaredFeatures];
    HPAConfigurableTolerance on Ga locked Other [];
    HPAGeneration on Beta free Other [];
    HPAOptimizedSelectorStore on Beta free Other [];
    HPAScaleToZero on Beta free Other [];
    HostnameOverride on Ga locked Kubelet [];
    HugepageAwareEviction on Beta free Kubelet [];
    ImageMaximumGCAge on Ga locked Kubelet [];
    ImageVolume on Ga locked Kubelet [];
    ImageVolumeWithDigest off Alpha free Kubelet [ImageVolume];
    InOrderInformers on Ga locked Other [];
    InOrderInformersBatchProcess on Beta free Other [];
    InPlacePodLevelResourcesVerticalScaling on Beta free Kubelet [InPlacePodVerticalScaling NodeDeclaredFeatures PodLevelResources];
    InPlacePodVerticalScaling on Ga locked Kubelet [];
    InPlacePodVerticalScalingExclusiveCPUs off Alpha free Kubelet [InPlacePodVerticalScaling];
    InPlacePodVerticalScalingExclusiveMemory off Alpha free Kubelet [InPlacePodVerticalScaling];
    InPlacePodVerticalScalingInitContainers on Ga locked Kubelet [InPlacePodVerticalScaling NodeDeclaredFeatures];
    InPlacePodVerticalScalingMemoryBackedVolumes off Alpha free Kubelet [InPlacePodVerticalScaling NodeDeclaredFeatures];
    InPlacePodVerticalScalingSchedulerPreemption off Alpha free Kubelet [InPlacePodVerticalScaling];
    InformerResourceVersion on Ga free Other [];
    InterPodAffinityHostnameFastPath off Alpha free Other [];
    JobManagedBy on Ga locked Other [];
    KMSv1 off Deprecated free Other [];
    KubeProxyIPVS on Deprecated free Other [];
    KubeProxyNFTablesLocalhostNodePorts off Alpha free Other [];
    KubeletAllocatedPodsEndpoint off Alpha free Kubelet [InPlacePodVerticalScaling];
    KubeletCgroupDriverFromCRI on Ga locked Kubelet [];
    KubeletCrashLoopBackOffMax on Beta free Kubelet [];
    KubeletEnsureSecretPulledImages on Beta free Kubelet [];
    KubeletFineGrainedAuthz on Ga locked Kubelet [];
    KubeletInUserNamespace on Beta free Kubelet [];
    KubeletPSI on Ga locked Kubelet [];
    KubeletPodResourcesDynamicResources on Ga locked Other [];
    KubeletPodResourcesGet on Ga locked Kubelet [];
    KubeletPodResourcesListUseActivePods on Deprecated free Kubelet [];
    KubeletRegistrationGetOnExistsOnly off Deprecated free Kubelet [];
    KubeletSeparateDiskGC on Beta free Kubelet [];
    KubeletServiceAccountTokenForCredentialProviders on Beta free Kubelet [];
    KubeletTracing on Ga locked Kubelet [];
    ListFromCacheSnapshot on Beta free Other [];
    LocalStorageCapacityIsolationFSQuotaMonitoring off Beta free Kubelet [];
    LoggingAlphaOptions off Alpha free Kubelet [];
    LoggingBetaOptions on Beta free Kubelet [];
    ManifestBasedAdmissionControlConfig on Beta free Other [];
    MatchLabelKeysInPodAffinity on Ga locked Other [];
    MatchLabelKeysInPodTopologySpread on Beta free Other [];
    MatchLabelKeysInPodTopologySpreadSelectorMerge on Beta free Other [MatchLabelKeysInPodTopologySpread];
    MaxUnavailableStatefulSet on Beta free Other [];
    MemoryQoS on Beta free Kubelet [];
    MultiCIDRServiceAllocator on Ga locked Other [];
    MutableCSINodeAllocatableCount on Ga locked Kubelet [];
    MutablePVNodeAffinity off Alpha free Other [];
    MutablePodResourcesForSuspendedJobs on Beta free Other [];
    MutableSchedulingDirectivesForSuspendedJobs on Beta free Other [];
    MutatingAdmissionPolicy on Ga free Other [];
    NFTablesNetlink on Beta free Other [];
    NFTablesProxyMode on Ga locked Other [];
    NativeHistograms on Beta free Kubelet [];
    NodeControllerLeaseCircuitBreaker on Beta free Other [AtomicFIFO];
    NodeDeclaredFeatures on Ga locked Kubelet [];
    NodeInclusionPolicyInPodTopologySpread on Ga locked Other [];
    NodeLifecycleConditions off Alpha free Other [];
    NodeLogQuery on Ga locked Kubelet [];
    NodeSwap on Ga locked Kubelet [];
    NominatedNodeNameForExpectation on Beta free Other [];
    OpenAPIEnums on Beta free Other [];
    OpportunisticBatching on Beta free Other [];
    PLEGOnDemandRelist on Ga locked Kubelet [];
    PersistentVolumeClaimUnusedSinceTime on Beta free Other [];
    PodAndContainerStatsFromCRI off Beta free Kubelet [];
    PodCertificateRequest on Ga free Kubelet [];
    PodDeletionCost on Beta free Other [];
    PodGroupPreemptionPolicy off Alpha free Other [GenericWorkload];
    PodLevelResourceManagers off Beta free Kubelet [PodLevelResources];
    PodLevelResources on Beta free Kubelet [];
    PodLevelResourcesFixDefaulting on Beta free Other [PodLevelResources];
    PodLevelResourcesFixKubeletQOSClass on Beta free Kubelet [PodLevelResources];
    PodLogsQuerySplitStreams off Alpha free Kubelet [];
    PodObservedGenerationTracking on Ga locked Kubelet [];
    PodReadyToStartContainersCondition on Ga locked Kubelet [];
    PodSchedulingReadiness on Ga locked Other [];
    PodTopologyLabelsAdmission on Beta free Other [];
    PodsAPI on Beta free Kubelet [];
    PortForwardWebsockets on Beta free Other [];
    PreferSameTrafficDistribution on Ga locked Other [];
    ProcMountType on Ga locked Kubelet [UserNamespacesSupport];
    QOSReserved off Alpha free Kubelet [];
    RecoverVolumeExpansionFailure on Ga locked Kubelet [];
    RecursiveReadOnlyMounts on Ga locked Kubelet [];
    ReduceDefaultCrashLoopBackOffDecay off Alpha free Kubelet [];
    RelaxedEnvironmentVariableValidation on Ga locked Kubelet [];
    RelaxedServiceNameValidation on Ga locked Other [];
    ReloadKubeletClientCAFile on Beta free Kubelet [];
    ReloadKubeletServerCertificateFile on Beta free Kubelet [];
    RemoteRequestHeaderUID on Beta free Other [];
    ResourceHealthStatus on Beta free Kubelet [DynamicResourceAllocation];
    ResourceHealthStatusMessage on Beta free Kubelet [ResourceHealthStatus];
    RestartAllContainersOnContainerExits on Beta free Kubelet [ContainerRestartRules NodeDeclaredFeatures];
    RotateKubeletServerCertificate on Beta free Kubelet [];
    RuntimeClassInImageCriApi off Alpha free Kubelet [];
    SELinuxChangePolicy on Ga locked Kubelet [];
    SELinuxMount on Ga free Kubelet [];
    SELinuxMountReadWriteOncePod on Ga locked Kubelet [];
    SchedulerAsyncAPICalls off Beta free Other [];
    SchedulerAsyncPreemption on Beta free Other [];
    SchedulerPopFromBackoffQ on Beta free Other [];
    SchedulerPreQueueingHints off Alpha free Other [];
    SeparateCacheWatchRPC off Deprecated locked Other [];
    SeparateTaintEvictionController on Ga locked Other [];
    ServiceAccountNodeAudienceRestriction on Beta free Other [];
    ServiceAccountTokenJTI on Ga locked Other [];
    ServiceAccountTokenNodeBinding on Ga locked Other [ServiceAccountTokenNodeBindingValidation];
    ServiceAccountTokenNodeBindingValidation on Ga locked Other [];
    ServiceAccountTokenPodNodeInfo on Ga locked Other [];
    ServiceCIDRStatusFieldWiping on Deprecated free Other [];
    ShardedListAndWatch off Alpha free Other [];
    SizeBasedListCostEstimate on Beta free Other [];
    StaleControllerConsistencyDaemonSet on Beta free Other [AtomicFIFO];
    StaleControllerConsistencyHPA on Beta free Other [AtomicFIFO];
    StaleControllerConsistencyJob on Beta free Other [AtomicFIFO];
    StaleControllerConsistencyReplicaSet on Beta free Other [AtomicFIFO];
    StaleControllerConsistencyStatefulSet on Beta free Other [AtomicFIFO];
    StatefulSetRecreateStrategy off Alpha free Other [];
    StatefulSetSemanticRevisionComparison on Beta free Other [];
    StorageCapacityScoring on Beta free Other [];
    StorageNamespaceIndex on Deprecated free Other [];
    StorageVersionAPI off Alpha free Other [APIServerIdentity];
    StorageVersionHash on Beta free Other [];
    StorageVersionMigrator on Ga free Other [];
    StrictIPCIDRValidation on Beta free Other [];
    StructuredAuthenticationConfigurationEgressSelector on Beta free Other [];
    StructuredAuthenticationConfigurationJWKSMetrics on Beta free Other [];
    SupplementalGroupsPolicy on Ga locked Kubelet [];
    SystemdWatchdog on Ga locked Kubelet [];
    TaintTolerationComparisonOperators off Alpha free Kubelet [];
    TokenRequestServiceAccountUIDValidation on Beta free Other [];
    TopologyAwareWorkloadScheduling off Alpha free Other [GenericWorkload];
    TopologyManagerPolicyAlphaOptions off Alpha free Kubelet [];
    TopologyManagerPolicyBetaOptions on Beta free Kubelet [];
    TopologyManagerPolicyOptions on Ga locked Kubelet [];
    TranslateStreamCloseWebsocketRequests on Beta free Other [];
    UnauthenticatedHTTP2DOSMitigation on Beta free Other [];
    UnknownVersionInteroperabilityProxy on Beta free Other [APIServerIdentity];
    UnlockWhileProcessingFIFO on Beta free Other [];
    UserNamespacesHostNetworkSupport off Alpha free Kubelet [NodeDeclaredFeatures UserNamespacesSupport];
    UserNamespacesSupport on Ga locked Kubelet [];
    VolumeAttributesClass on Ga locked Other [];
    VolumeBindMountOptions off Alpha free Kubelet [];
    VolumeLimitScaling on Beta free Other [];
    WatchCacheInitializationPostStartHook on Ga locked Other [];
    WatchList on Beta free Other [];
    WatchListClient on Beta free Other [];
    WatchListCompression on Beta free Other [];
    WebhookRoundTripLoadBalancing on Beta free Other [];
    WinDSR on Ga locked Other [];
    WinOverlay on Ga locked Other [];
    WindowsCPUAndMemoryAffinity off Alpha free Kubelet [];
    WindowsGracefulNodeShutdown on Beta free Kubelet [GracefulNodeShutdown];
    WindowsHostNetwork off Deprecated free Other [];
    WorkloadWithJob off Alpha free Other [GenericWorkload];
}
